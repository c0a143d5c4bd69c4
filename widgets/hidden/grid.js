// @ts-check
// A grid of what heads say: a row for each head, or for each layer of one, and a column for each token.
import { PROBABILITY_COLOURS, probabilityStep } from "./colours.js";
import { make, set, sightOf } from "./dom.js";
import { brightness, hexColour } from "./states.js";

/**
 * @typedef {{row: number, token: number}} Spot
 * @param {{pick: (spot: Spot) => void, point: (spot: Spot | null) => void}} listeners
 */
export function headGrid({ pick, point }) {
  const element = make("div", {
    class: "bl-readings",
    role: "grid",
    tabindex: 0,
    dir: "ltr",
    "aria-label": "what the heads say; up and down choose the row, left and right the token",
    "data-lm-suppress-shortcuts": "true",
    "data-part": "grid",
  });
  /** @type {any[][]} */
  let cells = [];
  let heads = /** @type {any[]} */ ([]);
  let first = 0; // the first token that stands here
  let tokens = 0; // of the whole text: a step past the last one that stands here brings the next
  let chosen = { row: 0, token: 0 };
  let marked = /** @type {any[]} */ ([]);
  const sight = sightOf(element);

  /** @param {Event} event */
  const spotUnder = (event) => {
    const cell = /** @type {Element} */ (event.target).closest("[data-cell]");
    return cell && { row: Number(cell.getAttribute("data-row")), token: Number(cell.getAttribute("data-column")) };
  };
  element.addEventListener("pointerover", (/** @type {PointerEvent} */ event) => point(spotUnder(event)));
  element.addEventListener("pointerleave", () => point(null));
  element.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const spot = spotUnder(event);
    if (spot) pick(spot);
  });
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const last = tokens - 1;
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -last], End: [0, last] }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const row = Math.min(cells.length - 1, Math.max(0, chosen.row + step[0]));
    pick({ row, token: Math.min(last, Math.max(0, chosen.token + step[1])) });
  });

  return {
    element,

    /**
     * @param {{name: string, how: string}[]} rows
     * @param {string[]} names of all tokens
     * @param {{from: number, to: number}} part which of them to show, the end excluded
     * @param {string} id
     */
    show(rows, names, { from, to }, id) {
      first = from;
      tokens = names.length;
      const places = names.slice(from, to).map((_, i) => from + i);
      marked = [];
      sight.forget();
      heads = places.map((token) =>
        make(
          "span",
          { class: "bl-readings-head", role: "columnheader", title: `token ${token}: ${names[token]}` },
          make("span", { class: "bl-how" }, String(token)),
          make("bdi", { class: "bl-token" }, names[token]),
        ),
      );
      cells = rows.map((_, row) =>
        places.map((token) =>
          make(
            "span",
            { class: "bl-reading", role: "gridcell", id: `${id}-reading-${row}-${token}`, "data-cell": true, "data-row": row, "data-column": token },
            make("span", { class: "bl-mark" }),
            make("bdi", { class: "bl-token" }),
            make("span", { class: "bl-mark" }),
          ),
        ),
      );
      const lines = rows.map(({ name, how }, row) =>
        make(
          "div",
          { class: "bl-readings-row", role: "row" },
          make("span", { class: "bl-readings-name", role: "rowheader" }, name, make("span", { class: "bl-how" }, how)),
          ...cells[row],
        ),
      );
      const corner = make("span", { class: "bl-readings-name bl-how", role: "columnheader" }, "token read →");
      element.style.setProperty("--bl-count", String(places.length));
      element.replaceChildren(make("div", { class: "bl-readings-row bl-readings-heads", role: "row" }, corner, ...heads), ...lines);
    },

    /** @param {(spot: Spot) => {word: string, p: number, mark: string, says: string} | null} look */
    paint(look) {
      cells.forEach((line, row) =>
        line.forEach((cell, i) => {
          const said = look({ row, token: first + i });
          const [before, word, after] = cell.children;
          const opens = said?.mark === "[";
          before.textContent = opens ? "[" : "";
          word.textContent = said ? said.word : "–";
          after.textContent = said && !opens ? said.mark : "";
          if (!said) {
            cell.style.removeProperty("background-color");
            set(cell, { "data-on": false, "data-marked": false, "aria-label": "not asked yet" });
            return;
          }
          const step = 3 * probabilityStep(said.p);
          const colour = Array.from(PROBABILITY_COLOURS.subarray(step, step + 3));
          cell.style.setProperty("background-color", hexColour(colour));
          set(cell, { "data-on": brightness(colour), "data-marked": said.mark !== "", "aria-label": said.says });
        }),
      );
    },

    /** @param {Spot} spot the selected one @param {Spot | null} pointed @param {number | null} column of the token that is pointed at */
    mark(spot, pointed, column) {
      chosen = spot;
      const selected = cells[spot.row]?.[spot.token - first];
      const under = pointed && cells[pointed.row]?.[pointed.token - first];
      const head = heads[(column ?? spot.token) - first];
      for (const element of marked) set(element, { "aria-selected": false, "data-pointed": false });
      marked = [selected, under, head].filter(Boolean);
      if (head) set(head, { "data-pointed": true });
      if (under) set(under, { "data-pointed": true });
      if (!selected) return;
      set(selected, { "aria-selected": "true" });
      set(element, { "aria-activedescendant": selected.id });
      sight.keep(selected);
    },
  };
}
