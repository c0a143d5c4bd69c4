// @ts-check
// Token-to-token arcs: the tokens in a line as they are read, and an arc from each that looks to whom it looks at.
// All of the selected token's, and of the others the strongest.
import { make, quoted, set, themeColour, themeLength, themeLengths } from "../lib/dom.js";
import { cellNumber } from "../lib/causal.js";
import { probability } from "../lib/numbers.js";
import { strongestLinks } from "./patterns.js";

const WINDOW = 96; // tokens in the line at a time; of a longer text those around the selected one
const OTHERS = 24; // arcs of tokens that are not selected
const LEAST = 0.01; // what a thinner arc would stand for is left out
const NAMED = 3; // keys named in the sentence below

/** @typedef {{query: number, key: number, weight: number, path: Path2D}} Drawn */

/**
 * @param {{pick: (cell: import("../lib/causal.js").Cell) => void,
 *   point: (cell: import("../lib/causal.js").Cell | null) => void, pointToken: (token: number | null) => void}} listeners
 */
export function tokenArcs({ pick, point, pointToken }) {
  const canvas = make("canvas", { class: "bl-arcs-canvas", "aria-hidden": "true", "data-part": "arcs-canvas" });
  const labels = make("div", { class: "bl-arcs-names", "aria-hidden": "true" });
  const line = make(
    "div",
    {
      class: "bl-arcs-line",
      role: "application",
      tabindex: 0,
      "aria-roledescription": "token arcs",
      "aria-label": "left and right choose who is looking; up and down, at whom: the stronger, the weaker arc",
      "data-lm-suppress-shortcuts": "true",
      "data-part": "arcs",
    },
    canvas,
    labels,
  );
  const scroll = make("div", { class: "bl-arcs-scroll" }, line);
  const says = make("p", { class: "bl-note", "data-part": "arcs-says" });
  const title = make("h3", { class: "bl-title" });
  const element = make("section", { class: "bl-panel bl-panel-arcs", "aria-label": "token arcs" }, title, scroll, says);

  let names = /** @type {string[]} */ ([]);
  let way = "ltr";
  let pattern = /** @type {ArrayLike<number> | null} */ (null);
  let chosen = { query: 0, key: 0 };
  let span = { first: 0, end: 0 }; // the tokens that stand in the line
  let slot = 1; // a token's room, in pixels
  let drawn = /** @type {Drawn[]} */ ([]);
  let looks = "";
  let colours = /** @type {number[][]} */ ([]);
  let frame = 0;

  const weightOf = (/** @type {number} */ query, /** @type {number} */ key) => (pattern ? pattern[cellNumber(query, key)] : 0);
  const ranked = (/** @type {number} */ query) =>
    Array.from({ length: query + 1 }, (_, key) => key).sort((a, b) => weightOf(query, b) - weightOf(query, a) || a - b);

  // ---- pointer and keys ----

  /** @param {MouseEvent} event @returns {Drawn | undefined} the arc under the pointer, the strongest first */
  const arcUnder = (event) => {
    const box = canvas.getBoundingClientRect();
    const sharp = canvas.width / box.width;
    const [x, y] = [(event.clientX - box.left) * sharp, (event.clientY - box.top) * sharp];
    const brush = canvas.getContext("2d");
    brush.setTransform(sharp, 0, 0, sharp, 0, 0);
    brush.lineWidth = themeLength(element, "--bl-unit");
    return [...drawn].reverse().find(({ path }) => brush.isPointInStroke(path, x, y));
  };
  const tokenUnder = (/** @type {Event} */ event) => {
    const name = /** @type {Element} */ (event.target).closest("[data-token]");
    return name ? Number(name.getAttribute("data-token")) : null;
  };
  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => point(arcUnder(event) ?? null));
  canvas.addEventListener("click", (/** @type {PointerEvent} */ event) => {
    const arc = arcUnder(event);
    if (arc) pick({ query: arc.query, key: arc.key });
  });
  labels.addEventListener("pointerover", (/** @type {PointerEvent} */ event) => pointToken(tokenUnder(event)));
  labels.addEventListener("click", (/** @type {PointerEvent} */ event) => {
    const token = tokenUnder(event);
    if (token !== null) pick({ query: token, key: ranked(token)[0] });
  });
  line.addEventListener("pointerleave", () => point(null));
  line.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { query, key } = chosen;
    const forwards = way === "rtl" ? "ArrowLeft" : "ArrowRight";
    const backwards = way === "rtl" ? "ArrowRight" : "ArrowLeft";
    const to = { [forwards]: query + 1, [backwards]: query - 1 }[event.key];
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (to === undefined && step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    if (to !== undefined && to >= 0 && to < names.length) pick({ query: to, key: ranked(to)[0] });
    const order = ranked(query);
    const next = step === undefined ? undefined : order[order.indexOf(key) + step];
    if (next !== undefined) pick({ query, key: next });
  });

  // ---- drawing ----

  /** Which tokens stand in the line: whole steps of half a window, so that it does not run along with each key. */
  function spanAround(/** @type {number} */ query) {
    const step = WINDOW / 2;
    const first = Math.max(0, Math.min(names.length - WINDOW, (Math.floor(query / step) - 1) * step));
    return { first, end: Math.min(names.length, first + WINDOW) };
  }

  function layLabels() {
    labels.replaceChildren(
      ...names.slice(span.first, span.end).map((name, i) => {
        const token = span.first + i;
        const label = make("span", { class: "bl-arcs-name", "data-token": token, title: `token ${token}: ${name}` }, quoted(name));
        label.style.setProperty("--bl-at", String(i));
        return label;
      }),
    );
    const count = span.end - span.first;
    const [readable, most, unit] = themeLengths(element, "--bl-readable", "--bl-label", "--bl-unit");
    slot = Math.max(1.5 * readable, Math.min(most, scroll.clientWidth / Math.max(1, count)));
    set(line, { dir: way, "data-upright": "false" });
    const widest = Math.max(0, ...[...labels.children].map((label) => label.firstChild.offsetWidth));
    set(line, { "data-upright": String(widest + unit > slot) }); // names that are too long for their room stand upright
    line.style.setProperty("--bl-slot", `${slot}px`);
    line.style.setProperty("--bl-tokens", String(count));
  }

  /** @param {import("../lib/causal.js").Cell} cell */
  function paint({ query, key }) {
    const sharp = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return; // out of sight; the frame fits it again once it has room
    const [wide, high] = [Math.round(width * sharp), Math.round(height * sharp)];
    if (canvas.width !== wide) canvas.width = wide;
    if (canvas.height !== high) canvas.height = high;
    const brush = canvas.getContext("2d");
    brush.setTransform(sharp, 0, 0, sharp, 0, 0);
    brush.clearRect(0, 0, width, height);
    brush.setLineDash([]);
    brush.lineCap = "round";
    const [quiet, accent, ink] = colours;
    const thickest = themeLength(element, "--bl-half");
    const tall = height - 2 * thickest;
    const farthest = Math.max(1, span.end - span.first - 1);
    const middle = (/** @type {number} */ token) => {
      const x = (token - span.first + 0.5) * slot;
      return way === "rtl" ? width - x : x;
    };
    const arc = (/** @type {{query: number, key: number, weight: number}} */ link) => {
      const [from, to] = [middle(link.query), middle(link.key)];
      const path = new Path2D();
      const top = Math.min(tall, Math.max(thickest * 3, tall * Math.sqrt((link.query - link.key) / farthest)));
      path.ellipse((from + to) / 2, height, Math.abs(from - to) / 2, top, 0, Math.PI, 2 * Math.PI);
      return { ...link, path };
    };
    const stroke = (/** @type {Drawn} */ { path, weight }, /** @type {number[]} */ colour, /** @type {number[]} */ [faintest, fullest]) => {
      brush.strokeStyle = `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
      brush.globalAlpha = faintest + (fullest - faintest) * Math.sqrt(weight);
      brush.lineWidth = Math.max(1, thickest * Math.sqrt(weight));
      brush.stroke(path);
    };
    if (!pattern || !colours.length) {
      drawn = [];
      return;
    }
    const others = strongestLinks(pattern, span.first, span.end, OTHERS)
      .filter((link) => link.query !== query && link.weight >= LEAST)
      .reverse()
      .map(arc);
    const own = ranked(query)
      .filter((k) => k < query && k >= span.first && (weightOf(query, k) >= LEAST || k === key))
      .reverse()
      .map((k) => arc({ query, key: k, weight: weightOf(query, k) }));
    for (const link of others) stroke(link, quiet, [0.1, 0.5]);
    for (const link of own) stroke(link, accent, [0.4, 1]);
    const picked = own.find((link) => link.key === key);
    if (picked) {
      brush.setLineDash([1.5 * thickest, 1.5 * thickest]);
      stroke({ ...picked, weight: 0 }, ink, [1, 1]);
    }
    drawn = [...others, ...own];
    set(line, { "data-arcs": drawn.length, "data-query": query, "data-key": key });
  }

  /** @param {import("../lib/causal.js").Cell} cell */
  function sayRow({ query }) {
    if (!pattern) {
      says.textContent = "…";
      return;
    }
    const strongest = ranked(query).slice(0, NAMED);
    const parts = strongest.flatMap((key, i) => [
      i ? ", " : "",
      key === query ? "itself" : quoted(names[key]),
      ` ${probability(weightOf(query, key))}`,
    ]);
    let before = 0;
    for (let key = 0; key < span.first; key++) before += weightOf(query, key);
    says.replaceChildren(
      quoted(names[query]),
      " looks most at ",
      ...parts,
      span.first ? `; ${probability(before)} goes to the ${span.first} tokens before these` : "",
      names.length > WINDOW ? `; tokens ${span.first} to ${span.end - 1} of ${names.length} stand here` : "",
    );
  }

  return {
    element,

    /** @param {string[]} shownNames one name for every token @param {string} direction of the text */
    show(shownNames, direction) {
      names = shownNames;
      way = direction;
      span = spanAround(chosen.query);
      looks = "";
    },

    fit() {
      colours = ["--bl-quiet", "--bl-accent", "--bl-ink"].map((name) => themeColour(element, name));
      layLabels();
      looks = "";
    },

    /**
     * @param {ArrayLike<number> | null} shown the pattern, or null while it is on its way
     * @param {string} what of which head, or of which mean
     * @param {number} read differs when other values have come
     * @param {import("../lib/causal.js").Cell} cell the selected one
     * @param {import("../lib/causal.js").Cell} lit the one that is looked at now
     */
    draw(shown, what, read, cell, lit) {
      chosen = cell;
      const look = [what, read, cell.query, cell.key, lit.query, lit.key].join();
      if (look === looks) return;
      looks = look;
      pattern = shown;
      const needed = spanAround(cell.query);
      if (needed.first !== span.first || needed.end !== span.end || labels.childElementCount !== span.end - span.first) {
        span = needed;
        layLabels();
        scroll.scrollLeft = (way === "rtl" ? -1 : 1) * ((cell.query - span.first + 0.5) * slot - scroll.clientWidth / 2);
      }
      title.replaceChildren("who looks at whom ", make("span", { class: "bl-how" }, `arcs · ${what}; thicker: more attention`));
      const inside = lit.query >= span.first && lit.query < span.end ? lit : cell;
      sayRow(inside);
      cancelAnimationFrame(frame); // a choice sets two places, and is painted once
      frame = requestAnimationFrame(() => paint(inside));
      for (const label of labels.children) {
        const token = Number(label.getAttribute("data-token"));
        set(label, { "data-picked": token === cell.query, "data-key": token === cell.key, "data-pointed": token === lit.query && token !== cell.query });
      }
    },
  };
}
