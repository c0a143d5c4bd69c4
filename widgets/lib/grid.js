// @ts-check
// What every grid of tokens does: a cell for each row and token, chosen by a click or the keys, pointed at, kept in sight.
import { make, set, sightOf } from "./dom.js";

/** @typedef {{row: number, token: number}} Place */

/**
 * @param {{part: string, says: string, kind: string, pick: (place: Place) => void, point: (place: Place | null) => void}} options
 *   `kind` names the classes of its cells, such as "bl-state"
 */
export function tokenGrid({ part, says, kind, pick, point }) {
  const element = make("div", {
    class: `${kind}s`,
    role: "grid",
    tabindex: 0,
    dir: "ltr",
    "aria-label": says,
    "data-lm-suppress-shortcuts": "true",
    "data-part": part,
  });
  /** @type {any[][]} */
  let cells = [];
  let heads = /** @type {any[]} */ ([]);
  let first = 0; // the first token that has a column here
  let tokens = 0; // of the whole text: a step past the last column asks for the next
  let chosen = { row: 0, token: 0 };
  let marked = /** @type {any[]} */ ([]);
  const sight = sightOf(element);

  /** @param {Event} event */
  const placeUnder = (event) => {
    const cell = /** @type {Element} */ (event.target).closest("[data-cell]");
    return cell && { row: Number(cell.getAttribute("data-row")), token: Number(cell.getAttribute("data-column")) };
  };
  element.addEventListener("pointerover", (/** @type {PointerEvent} */ event) => point(placeUnder(event)));
  element.addEventListener("pointerleave", () => point(null));
  element.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const place = placeUnder(event);
    if (place) pick(place);
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
     * @param {{name: (Node | string)[], data?: Record<string, string | number | boolean>}[]} rows
     * @param {string[]} names of all tokens
     * @param {{from: number, to: number}} columns which of them to show, the end excluded
     * @param {{id: string, corner: string, inside: () => Node[], column?: string}} look the cells' ids, the first heading,
     *   what each cell holds, and what a column is
     */
    show(rows, names, { from, to }, { id, corner, inside, column = "token" }) {
      first = from;
      tokens = names.length;
      marked = [];
      sight.forget();
      const places = Array.from({ length: to - from }, (_, i) => from + i);
      heads = places.map((token) =>
        make(
          "span",
          { class: `${kind}s-head`, role: "columnheader", title: `${column} ${token}: ${names[token]}` },
          make("span", { class: "bl-how" }, String(token)),
          make("bdi", { class: "bl-token" }, names[token]),
        ),
      );
      cells = rows.map((_, row) =>
        places.map((token) =>
          make("span", { class: kind, role: "gridcell", id: `${id}-${row}-${token}`, "data-cell": true, "data-row": row, "data-column": token }, ...inside()),
        ),
      );
      const lines = rows.map(({ name, data }, row) =>
        make("div", { class: `${kind}s-row`, role: "row", ...data }, make("span", { class: `${kind}s-name`, role: "rowheader" }, ...name), ...cells[row]),
      );
      const start = make("span", { class: `${kind}s-name bl-how`, role: "columnheader" }, corner);
      element.style.setProperty("--bl-count", String(places.length));
      element.replaceChildren(make("div", { class: `${kind}s-row ${kind}s-heads`, role: "row" }, start, ...heads), ...lines);
    },

    /** @param {(place: Place, cell: any) => void} look is called for each cell */
    paint(look) {
      cells.forEach((line, row) => line.forEach((cell, i) => look({ row, token: first + i }, cell)));
    },

    /** @param {Place} place the selected one @param {Place | null} pointed @param {number | null} [column] whose heading is lit */
    mark(place, pointed, column = null) {
      chosen = place;
      const selected = cells[place.row]?.[place.token - first];
      const under = pointed && cells[pointed.row]?.[pointed.token - first];
      const head = heads[(column ?? (pointed ?? place).token) - first];
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
