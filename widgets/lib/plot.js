// @ts-check
// A small plot: lines on a canvas, everything that is text beside or above it. Places are parts of the plot's room,
// 0 to 1 from the left and from the top, so that nothing here knows an axis.
import { make, set, themeColour } from "./dom.js";

/**
 * @typedef {{points: [number, number][], colour: string, width: number, dash?: number[]}} Line
 * @typedef {{at: number, text: string}} Tick
 */

/**
 * @param {{part: string, says: string, role?: string, point?: (place: {x: number, y: number} | null) => void,
 *   pick?: (place: {x: number, y: number}) => void, key?: (event: KeyboardEvent) => boolean}} options
 *   `key` says whether it took the key
 */
export function plot({ part, says, role = "img", point, pick, key }) {
  const canvas = make("canvas", { class: "bl-plot-canvas", "aria-hidden": "true", "data-part": `${part}-canvas` });
  const cursor = make("span", { class: "bl-cursor", "aria-hidden": "true" });
  const dot = make("span", { class: "bl-cursor-dot", "aria-hidden": "true" });
  const labels = make("div", { class: "bl-plot-labels", "aria-hidden": "true" });
  const area = make(
    "div",
    { class: "bl-plot-area", role, "aria-label": says, "data-part": part, ...(key ? { tabindex: 0, "data-lm-suppress-shortcuts": "true" } : {}) },
    canvas,
    labels,
    cursor,
    dot,
  );
  const left = make("div", { class: "bl-plot-left", "aria-hidden": "true" });
  const right = make("div", { class: "bl-plot-right", "aria-hidden": "true" });
  const below = make("div", { class: "bl-plot-below", "aria-hidden": "true" });
  const element = make("div", { class: "bl-plot", dir: "ltr" }, left, area, right, below);
  let lines = /** @type {Line[]} */ ([]);
  let grid = /** @type {number[]} */ ([]);

  const placeOf = (/** @type {MouseEvent} */ event) => {
    const box = area.getBoundingClientRect();
    const clip = (/** @type {number} */ part) => Math.min(1, Math.max(0, part));
    return { x: clip((event.clientX - box.left) / box.width), y: clip((event.clientY - box.top) / box.height) };
  };
  if (point) {
    area.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => point(placeOf(event)));
    area.addEventListener("pointerleave", () => point(null));
  }
  if (pick) area.addEventListener("click", (/** @type {MouseEvent} */ event) => pick(placeOf(event)));
  if (key) {
    area.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || !key(event)) return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** @param {HTMLElement} side @param {Tick[]} ticks */
  const write = (side, ticks) => {
    side.replaceChildren(
      ...ticks.map(({ at, text }) => {
        const tick = make("span", { class: "bl-plot-tick" }, text);
        tick.style.setProperty("--bl-at", String(at));
        return tick;
      }),
    );
  };

  let [width, height] = [0, 0];
  new ResizeObserver(() => {
    if (width === area.clientWidth && height === area.clientHeight) return;
    [width, height] = [area.clientWidth, area.clientHeight];
    paint();
  }).observe(area);

  /** Of the room as it was last laid out: to ask for it here would lay out the whole page first. */
  function paint() {
    const sharp = devicePixelRatio || 1;
    if (!width || !height) return;
    canvas.width = Math.round(width * sharp);
    canvas.height = Math.round(height * sharp);
    const brush = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    brush.scale(sharp, sharp);
    const ink = (/** @type {string} */ name) => `#${themeColour(area, name).map((part) => part.toString(16).padStart(2, "0")).join("")}`;
    const stroke = (/** @type {Line} */ { points, colour, width: thick, dash = [] }) => {
      brush.beginPath();
      points.forEach(([x, y], i) => (i ? brush.lineTo(x * width, y * height) : brush.moveTo(x * width, y * height)));
      brush.strokeStyle = ink(colour);
      brush.lineWidth = thick;
      brush.lineJoin = "round";
      brush.setLineDash(dash);
      brush.stroke();
    };
    for (const y of grid) stroke({ points: [[0, y], [1, y]], colour: "--bl-line", width: 1 });
    for (const line of lines) stroke(line);
  }

  return {
    element,
    area,
    paint,

    /** @param {{left?: Tick[], right?: Tick[], below?: Tick[]}} ticks */
    axes(ticks) {
      grid = (ticks.left ?? []).map(({ at }) => at);
      write(left, ticks.left ?? []);
      write(right, ticks.right ?? []);
      write(below, ticks.below ?? []);
      set(element, { "data-right": Boolean(ticks.right) });
    },

    /**
     * @param {Line[]} shown
     * @param {{x: number, y: number, text: string, strong?: boolean, before?: boolean}[]} [texts]
     */
    show(shown, texts = []) {
      lines = shown;
      labels.replaceChildren(
        ...texts.map(({ x, y, text, strong = false, before = false }) => {
          const label = make("span", { class: "bl-plot-label", "data-strong": strong, "data-before": before }, text);
          label.style.setProperty("--bl-x", String(x));
          label.style.setProperty("--bl-y", String(y));
          return label;
        }),
      );
      paint();
    },

    /** @param {number | null} x @param {number | null} y */
    mark(x, y) {
      cursor.hidden = x === null || x < 0 || x > 1;
      dot.hidden = cursor.hidden || y === null || y < 0 || y > 1;
      cursor.style.setProperty("--bl-x", String(x));
      dot.style.setProperty("--bl-x", String(x));
      dot.style.setProperty("--bl-y", String(y));
    },
  };
}

/**
 * The smallest of 1, 2 and 5 times a power of ten that cuts `length` into at most `parts`.
 * @param {number} length
 * @param {number} parts
 */
export function roundStep(length, parts) {
  const power = 10 ** Math.floor(Math.log10(Math.max(length / parts, 1e-12)));
  return power * ([1, 2, 5].find((n) => n * power * parts >= length * (1 - 1e-9)) ?? 10);
}
