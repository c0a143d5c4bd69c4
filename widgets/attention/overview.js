// @ts-check
// Of a long text: the whole matrix, small, in the corner between the names, with a frame around what is in sight. Dragging
// over a part of it shows that part larger, a click goes there; with keys, arrows move the frame, + and − zoom.
import { make, set } from "../lib/dom.js";

const LEAST_DRAG = 4; // pixels; less than this is a click
const FINENESS = 2; // pixels of the small picture for one of the page's

/**
 * What is in sight, in tokens: the first query and key, and how many of each.
 * @typedef {{query: number, key: number, queries: number, keys: number}} Sight
 */

/**
 * @param {{go: (query: number, key: number) => void, zoomTo: (sight: Sight) => void, zoom: (larger: boolean) => void}} matrix
 *   `go` brings a cell to the middle, `zoomTo` fills the room with a part, `zoom` makes the cells larger or smaller
 */
export function matrixOverview({ go, zoomTo, zoom }) {
  const canvas = make("canvas", { class: "bl-overview-picture", "aria-hidden": "true" });
  const frame = make("span", { class: "bl-sight", "data-part": "sight" });
  const element = make(
    "div",
    { class: "bl-overview", role: "application", tabindex: 0, "aria-roledescription": "overview of the matrix", title: "the whole matrix; drag over a part to see it larger, click to go there; keys: arrows, + and −, 0 for the whole", "data-lm-suppress-shortcuts": "true", "data-part": "overview", hidden: true },
    canvas,
    frame,
  );
  let tokens = 0;
  let sight = /** @type {Sight} */ ({ query: 0, key: 0, queries: 1, keys: 1 });
  let from = /** @type {{x: number, y: number} | null} */ (null); // where a drag began

  /** @param {Sight} part */
  const draw = ({ query, key, queries, keys }) => {
    const share = (/** @type {number} */ count) => `${((100 * count) / tokens).toFixed(2)}%`;
    Object.assign(frame.style, { top: share(query), left: share(key), height: share(Math.min(queries, tokens - query)), width: share(Math.min(keys, tokens - key)) });
  };

  /** @param {PointerEvent} event */
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const inside = (/** @type {number} */ at) => Math.min(1, Math.max(0, at));
    return { x: inside((event.clientX - box.left) / box.width), y: inside((event.clientY - box.top) / box.height), pixels: box.width };
  };
  /** @param {{x: number, y: number}} to */
  const partTo = (to) => {
    const [start, end] = [from ?? to, to];
    const first = (/** @type {"x" | "y"} */ side) => Math.floor(Math.min(start[side], end[side]) * tokens);
    const count = (/** @type {"x" | "y"} */ side) => Math.max(1, Math.ceil(Math.abs(start[side] - end[side]) * tokens));
    return { query: first("y"), key: first("x"), queries: count("y"), keys: count("x") };
  };
  const isDrag = (/** @type {{x: number, y: number, pixels: number}} */ to) => from !== null && Math.max(Math.abs(to.x - from.x), Math.abs(to.y - from.y)) * to.pixels >= LEAST_DRAG;
  element.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    if (event.button !== 0) return;
    from = place(event);
    element.setPointerCapture?.(event.pointerId);
  });
  element.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const to = place(event);
    if (isDrag(to)) draw(partTo(to));
  });
  element.addEventListener("pointerup", (/** @type {PointerEvent} */ event) => {
    if (from === null) return;
    const to = place(event);
    const part = isDrag(to) ? partTo(to) : null;
    from = null;
    if (part) zoomTo(part);
    else go(Math.floor(to.y * tokens), Math.floor(to.x * tokens));
  });
  element.addEventListener("pointercancel", () => {
    from = null;
    draw(sight);
  });
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const [down, right] = [Math.ceil(sight.queries / 2), Math.ceil(sight.keys / 2)];
    const steps = /** @type {Record<string, [number, number]>} */ ({ ArrowUp: [-down, 0], ArrowDown: [down, 0], ArrowLeft: [0, -right], ArrowRight: [0, right] });
    const step = steps[event.key];
    if (step) go(sight.query + sight.queries / 2 + step[0], sight.key + sight.keys / 2 + step[1]);
    else if (event.key === "+" || event.key === "=") zoom(true);
    else if (event.key === "-") zoom(false);
    else if (event.key === "0") zoomTo({ query: 0, key: 0, queries: tokens, keys: tokens });
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  return {
    element,

    /** @param {HTMLCanvasElement} whole the matrix, a pixel a cell */
    paint(whole) {
      if (element.hidden) return; // before its width is asked for, which lays the page out
      const side = FINENESS * element.clientWidth;
      if (side === 0 || whole.width === 0) return;
      canvas.width = canvas.height = Math.min(side, whole.width);
      canvas.getContext("2d")?.drawImage(whole, 0, 0, canvas.width, canvas.height);
    },

    /** @param {number} count of tokens @param {Sight} part what is in sight @param {boolean} wanted whether there is anything to zoom */
    show(count, part, wanted) {
      [tokens, sight] = [count, part];
      element.hidden = !wanted;
      if (!wanted || from !== null) return;
      draw(part);
      const last = (/** @type {number} */ first, /** @type {number} */ many) => Math.min(count, Math.round(first + many)) - 1;
      set(element, { "aria-label": `in sight: tokens ${Math.round(part.query)} to ${last(part.query, part.queries)} look at ${Math.round(part.key)} to ${last(part.key, part.keys)} of ${count}` });
    },
  };
}
