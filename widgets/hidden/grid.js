// @ts-check
// A grid of words or numbers: states of the stream downwards, tokens to the right.
import { make, set } from "../lib/dom.js";
import { tokenGrid } from "../lib/grid.js";
import { brightness, hexColour, stateName } from "../lib/states.js";

/**
 * @param {{pick: (place: import("../lib/states.js").Place) => void,
 *   point: (place: import("../lib/states.js").Place | null) => void}} listeners
 */
export function stateGrid(listeners) {
  const says = "states of the stream and tokens; up and down choose the state, left and right the token";
  const grid = tokenGrid({ part: "grid", says, kind: "bl-state", ...listeners });
  return {
    element: grid.element,
    mark: grid.mark,

    /**
     * @param {string[]} states
     * @param {string[]} names of all tokens
     * @param {{first: number, count: number}} window
     * @param {string} id
     */
    show(states, names, { first, count }, id) {
      const rows = states.map((label) => ({ name: [stateName(label)], data: { "data-mid": label.endsWith("mid") } }));
      const inside = () => [make("bdi", { class: "bl-token" }), make("span", { class: "bl-mark" })];
      grid.show(rows, names, { from: first, to: first + count }, { id: `${id}-cell`, corner: "state ↓ · token read →", inside });
    },

    /**
     * @param {(place: import("../lib/states.js").Place) => {text: string, mark: string, colour: number[], says: string}} look
     */
    paint(look) {
      grid.paint((place, cell) => {
        const { text, mark, colour, says } = look(place);
        cell.firstChild.textContent = text;
        cell.lastChild.textContent = mark;
        cell.style.setProperty("background-color", hexColour(colour));
        set(cell, { "data-on": brightness(colour), "aria-label": says });
      });
    },
  };
}
