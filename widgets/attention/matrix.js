// @ts-check
// One head's matrix. A row is a token that looks (query), a column one that is looked at (key); what lies above
// the diagonal comes later in the text and cannot be seen.
import { make, set, themeLength, themeLengths } from "../lib/dom.js";
import { paintCausal } from "../lib/colours.js";
import { matrixOverview } from "./overview.js";

/**
 * @param {{pick: (cell: import("../lib/causal.js").Cell) => void,
 *   extend: (cell: import("../lib/causal.js").Cell) => void,
 *   point: (cell: import("../lib/causal.js").Cell | null) => void}} listeners
 */
export function attentionMatrix({ pick, extend, point }) {
  const canvas = make("canvas", { class: "bl-canvas", "aria-hidden": "true", "data-part": "canvas" });
  const bands = [make("span", { class: "bl-band bl-band-row" }), make("span", { class: "bl-band bl-band-column" })];
  const picked = make("span", { class: "bl-picked", "data-part": "picked" });
  const under = make("span", { class: "bl-under" });
  const several = make("span", { class: "bl-several", "data-hidden": true });
  const unseen = make("span", { class: "bl-unseen", "aria-hidden": "true" }, "not visible: comes later");
  const cells = make(
    "div",
    {
      class: "bl-cells",
      role: "application",
      tabindex: 0,
      "aria-roledescription": "attention matrix",
      "aria-label": "up and down choose who is looking, left and right at whom; with shift, several together",
      title: "with shift, several together",
      "data-lm-suppress-shortcuts": "true",
      "data-part": "matrix",
    },
    canvas,
    unseen,
    ...bands,
    under,
    several,
    picked,
  );
  const rows = make("div", { class: "bl-rows", "aria-hidden": "true" });
  const columns = make("div", { class: "bl-columns", "aria-hidden": "true" });
  const overview = matrixOverview({ go, zoomTo, zoom: (larger) => zoomed(Math.max(1, size * (larger ? 2 : 1 / 2)), inSight()) });
  const frame = make("div", { class: "bl-frame" }, rows, cells, make("div", { class: "bl-corner" }, overview.element), columns);
  const element = make("div", { class: "bl-matrix" }, frame);
  let tokens = 0;
  let size = 1; // of a cell, in pixels
  let wanted = 0; // the size of a cell that somebody has zoomed to, in pixels; 0: as much as the room allows
  let readable = 1; // the height a label needs
  /** @type {import("../lib/causal.js").Cell} */
  let chosen = { query: 0, key: 0 };
  let corner = /** @type {import("../lib/causal.js").Cell | null} of a block */ (null);
  /** @type {{query: number | null, key: number | null}} */
  let lit = { query: null, key: null };
  const marked = { query: /** @type {number[]} */ ([]), key: /** @type {number[]} */ ([]) }; // labels marked last
  let wasUnder = -1;
  let shownFor = "";

  /** Of a long text the matrix scrolls to the chosen cell, between the names, which stay. */
  const bringIntoView = () => {
    const place = [chosen.query, chosen.key].join();
    if (place === shownFor || element.clientWidth === 0) return;
    shownFor = place;
    const [box, square] = [element.getBoundingClientRect(), cells.getBoundingClientRect()];
    const [left, top] = [square.left + size * chosen.key, square.top + size * chosen.query];
    const [right, bottom] = [box.left + element.clientWidth, box.top + element.clientHeight - columns.offsetHeight];
    if (left < box.left + rows.offsetWidth) element.scrollLeft -= box.left + rows.offsetWidth - left;
    else if (left + size > right) element.scrollLeft += left + size - right;
    if (top < box.top) element.scrollTop -= box.top - top;
    else if (top + size > bottom) element.scrollTop += top + size - bottom;
    drawOverview();
    overview.paint(canvas);
  };

  // ---- zoom ----

  const room = () => ({ wide: element.clientWidth - rows.offsetWidth, high: element.clientHeight - columns.offsetHeight });
  const inSight = () => ({ query: element.scrollTop / size, key: element.scrollLeft / size, queries: room().high / size, keys: room().wide / size });
  const drawOverview = () => {
    const sight = inSight();
    overview.show(tokens, sight, tokens > 1 && (wanted > 0 || readable > size || Math.min(sight.queries, sight.keys) < tokens - 1));
  };
  element.addEventListener("scroll", drawOverview);

  /** @param {number} query @param {number} key of the cell that comes to the middle */
  function go(query, key) {
    element.scrollTop = query * size - room().high / 2;
    element.scrollLeft = key * size - room().wide / 2;
    drawOverview();
  }

  /** @param {number} cell its size in pixels, 0 for as much as the room allows @param {import("./overview.js").Sight} part whose middle stays in the middle */
  function zoomed(cell, part) {
    if (!wanted) element.style.maxHeight = `${element.offsetHeight}px`; // the matrix grows inside its place
    wanted = cell && Math.max(themeLength(element, "--bl-cell-least"), Math.min(themeLength(element, "--bl-cell-most"), Math.floor(cell)));
    if (!wanted) element.style.maxHeight = "";
    fit();
    shownFor = [chosen.query, chosen.key].join(); // it need not come into view
    go(part.query + part.queries / 2, part.key + part.keys / 2);
    overview.paint(canvas);
  }

  /** @param {import("./overview.js").Sight} part fills the room */
  function zoomTo(part) {
    const all = Math.max(part.keys, part.queries) >= tokens;
    zoomed(all ? 0 : Math.min(room().wide / part.keys, room().high / part.queries), part);
  }

  /** @param {MouseEvent} event */
  const cellUnder = (event) => {
    const box = canvas.getBoundingClientRect();
    const key = Math.floor(((event.clientX - box.left) / box.width) * tokens);
    const query = Math.floor(((event.clientY - box.top) / box.height) * tokens);
    return key >= 0 && key <= query && query < tokens ? { query, key } : null;
  };
  cells.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const cell = cellUnder(event);
    const number = cell ? cell.query * tokens + cell.key : -1;
    if (number !== wasUnder) point(cell);
    wasUnder = number;
  });
  cells.addEventListener("pointerleave", () => {
    wasUnder = -1;
    point(null);
  });
  cells.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const cell = cellUnder(event);
    if (cell) (event.shiftKey ? extend : pick)(cell);
  });
  cells.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const from = event.shiftKey ? (corner ?? chosen) : chosen;
    const query = Math.min(tokens - 1, Math.max(0, from.query + step[0]));
    const key = Math.min(query, Math.max(0, from.key + step[1]));
    (event.shiftKey ? extend : pick)({ query, key });
  });

  /**
   * Which labels show: all where there is room, otherwise every second, third, … with its number; and always those
   * of the selected and the pointed token, which push their neighbours aside.
   * @param {boolean} all look at every label, not only at those near a mark that came or went
   */
  const layLabels = (all = false) => {
    const every = Math.max(1, Math.ceil(readable / size));
    for (const [side, spot] of /** @type {[any, "query" | "key"][]} */ ([[rows, "query"], [columns, "key"]])) {
      const special = [chosen[spot], lit[spot]].filter((token) => token !== null);
      const near = (/** @type {number} */ token) => special.some((other) => Math.abs(Number(other) - token) < every);
      const changed = all ? Array.from(side.children, (_, token) => token) : [...marked[spot], ...special].flatMap((token) =>
        Array.from({ length: 2 * every - 1 }, (_, i) => Number(token) + i - every + 1),
      );
      for (const token of changed) {
        const name = side.children[token];
        if (!name) continue;
        set(name, {
          "data-hidden": !special.includes(token) && (token % every !== 0 || near(token)),
          "data-picked": token === chosen[spot],
          "data-pointed": token === lit[spot],
        });
      }
      marked[spot] = /** @type {number[]} */ (special);
    }
    set(frame, { "data-crowded": every > 1 });
  };

  /** Choose the size of a cell: a whole number of pixels, as large as the room allows, or as somebody has zoomed to. */
  function fit() {
    // the longest name decides how much room names get, up to a limit; all is asked before anything is set, for each answer after that lays the page out anew
    const widths = [...rows.children].map((name) => name.scrollWidth);
    const whole = element.clientWidth;
    const [most, least, wideMost, readableNow, cellLeast, cellMost] = themeLengths(element, "--bl-label", "--bl-label-least", "--bl-matrix-most", "--bl-readable", "--bl-cell-least", "--bl-cell-most");
    const label = Math.ceil(Math.min(most, Math.max(least, ...widths)));
    frame.style.setProperty("--bl-names", `${label}px`);
    const wide = Math.min(whole - label, wideMost);
    if (tokens === 0 || wide <= 0) return;
    readable = readableNow;
    size = wanted || Math.max(cellLeast, Math.min(cellMost, Math.floor(wide / tokens)));
    frame.style.setProperty("--bl-cell", `${size}px`);
    frame.style.setProperty("--bl-tokens", String(tokens));
    unseen.hidden = size * tokens < 2 * most;
    layLabels(true);
    shownFor = ""; // what is in sight is looked at when the marks are set
  }

  return {
    element,
    canvas,

    /** @param {string[]} names one for every token */
    show(names) {
      tokens = names.length;
      for (const side of [rows, columns]) {
        side.replaceChildren(
          ...names.map((name, token) => {
            const box = make(
              "span",
              { class: "bl-name", title: `token ${token}: ${name}` },
              make("span", { class: "bl-number" }, String(token)),
              make("bdi", { class: "bl-token" }, name),
            );
            box.style.setProperty("--bl-at", String(token));
            return box;
          }),
        );
      }
      wanted = 0;
      element.style.maxHeight = "";
      fit();
    },

    fit,

    /**
     * @param {Uint8Array} colours
     * @param {(cell: number, query: number, key: number) => number} stepOf
     */
    paint(colours, stepOf) {
      paintCausal(canvas, tokens, colours, stepOf);
      overview.paint(canvas);
    },

    /**
     * @param {import("../lib/causal.js").Cell} cell the selected one
     * @param {{query: number | null, key: number | null}} pointed
     * @param {import("./block.js").Block | null} block  several cells @param {import("../lib/causal.js").Cell} other  its other corner
     */
    mark(cell, pointed, block, other) {
      corner = block && other;
      set(several, { "data-hidden": !block });
      if (block) {
        const { queries, keys } = block;
        const sizes = { "--bl-row": queries[0], "--bl-column": keys[0], "--bl-high": queries[1] - queries[0] + 1, "--bl-wide": keys[1] - keys[0] + 1 };
        for (const [name, size] of Object.entries(sizes)) several.style.setProperty(name, String(size));
      }
      chosen = cell;
      lit = pointed;
      const row = pointed.query ?? cell.query;
      const column = pointed.key ?? cell.key;
      frame.style.setProperty("--bl-row", String(row));
      frame.style.setProperty("--bl-column", String(column));
      picked.style.setProperty("--bl-row", String(cell.query));
      picked.style.setProperty("--bl-column", String(cell.key));
      set(under, { "data-hidden": pointed.query === null || pointed.key === null || pointed.key > pointed.query });
      layLabels();
      bringIntoView();
    },
  };
}
