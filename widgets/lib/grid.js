// @ts-check
// A grid of words or numbers: states of the stream downwards, tokens to the right.
import { brightness, hexColour, stateName } from "./states.js";
import { make, set, sightOf } from "./dom.js";

/**
 * @param {{pick: (place: import("./states.js").Place) => void,
 *   point: (place: import("./states.js").Place | null) => void}} listeners
 */
export function stateGrid({ pick, point }) {
  const element = make("div", {
    class: "bl-states",
    role: "grid",
    tabindex: 0,
    dir: "ltr",
    "aria-label": "states of the stream and tokens; up and down choose the state, left and right the token",
    "data-lm-suppress-shortcuts": "true",
    "data-part": "grid",
  });
  /** @type {any[][]} */
  let cells = [];
  let heads = /** @type {any[]} */ ([]);
  let first = 0;
  let tokens = 0; // of the whole text: a step past the window asks for the next
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
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -tokens], End: [0, tokens] }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const row = Math.min(cells.length - 1, Math.max(0, chosen.row + step[0]));
    const token = Math.min(tokens - 1, Math.max(0, chosen.token + step[1]));
    pick({ row, token });
  });

  return {
    element,

    /**
     * @param {string[]} states
     * @param {string[]} names of all tokens
     * @param {{first: number, count: number}} window
     * @param {string} id
     */
    show(states, names, window, id) {
      first = window.first;
      tokens = names.length;
      marked = [];
      sight.forget();
      const places = Array.from({ length: window.count }, (_, i) => first + i);
      heads = places.map((token) =>
        make(
          "span",
          { class: "bl-states-head", role: "columnheader", title: `token ${token}: ${names[token]}` },
          make("span", { class: "bl-how" }, String(token)),
          make("bdi", { class: "bl-token" }, names[token]),
        ),
      );
      const corner = make("span", { class: "bl-states-name bl-how", role: "columnheader" }, "state ↓ · token read →");
      cells = states.map((label, row) =>
        places.map((token) =>
          make(
            "span",
            { class: "bl-state", role: "gridcell", id: `${id}-cell-${row}-${token}`, "data-cell": true, "data-row": row, "data-column": token },
            make("bdi", { class: "bl-token" }),
            make("span", { class: "bl-mark" }),
          ),
        ),
      );
      const rows = states.map((label, row) =>
        make(
          "div",
          { class: "bl-states-row", role: "row", "data-mid": label.endsWith("mid") },
          make("span", { class: "bl-states-name", role: "rowheader" }, stateName(label)),
          ...cells[row],
        ),
      );
      element.style.setProperty("--bl-count", String(places.length));
      element.replaceChildren(make("div", { class: "bl-states-row bl-states-heads", role: "row" }, corner, ...heads), ...rows);
    },

    /**
     * @param {(place: import("./states.js").Place) => {text: string, mark: string, colour: number[], says: string}} look
     */
    paint(look) {
      cells.forEach((line, row) =>
        line.forEach((cell, i) => {
          const { text, mark, colour, says } = look({ row, token: first + i });
          cell.firstChild.textContent = text;
          cell.lastChild.textContent = mark;
          cell.style.setProperty("background-color", hexColour(colour));
          set(cell, { "data-on": brightness(colour), "aria-label": says });
        }),
      );
    },

    /** @param {import("./states.js").Place} place the selected one @param {import("./states.js").Place | null} pointed */
    mark(place, pointed) {
      chosen = place;
      const selected = cells[place.row]?.[place.token - first];
      const under = pointed && cells[pointed.row]?.[pointed.token - first];
      const head = heads[(pointed ?? place).token - first];
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
