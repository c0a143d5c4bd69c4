// @ts-check
// A grid of what heads say: a row for each head, or for each layer of one, and a column for each token.
import { make, set } from "../lib/dom.js";
import { tokenGrid } from "../lib/grid.js";
import { brightness, hexColour } from "../lib/states.js";

/**
 * @typedef {import("../lib/grid.js").Place} Spot
 * @param {{pick: (spot: Spot) => void, point: (spot: Spot | null) => void}} listeners
 */
export function headGrid(listeners) {
  const says = "what the heads say; up and down choose the row, left and right the token";
  const grid = tokenGrid({ part: "grid", says, kind: "bl-reading", ...listeners });
  return {
    element: grid.element,

    /** @param {Spot} spot the selected one @param {Spot | null} pointed @param {number | null} column of the token that is pointed at */
    mark(spot, pointed, column) {
      grid.mark(spot, pointed, column ?? spot.token);
    },

    /**
     * @param {{name: string, how: string}[]} rows
     * @param {string[]} names of all tokens
     * @param {{from: number, to: number}} columns which of them to show, the end excluded
     * @param {string} id
     */
    show(rows, names, columns, id) {
      const inside = () => [make("span", { class: "bl-mark" }), make("bdi", { class: "bl-token" }), make("span", { class: "bl-mark" })];
      const named = rows.map(({ name, how }) => ({ name: [name, make("span", { class: "bl-how" }, how)] }));
      const shown = { from: columns.from, to: Math.min(columns.to, names.length) };
      grid.show(named, names, shown, { id: `${id}-reading`, corner: "token read →", inside });
    },

    /**
     * @param {(spot: Spot) => {word: string, number: string, mark: string, colour: number[] | null, says: string} | null} look
     *   number: below the word; without a colour nothing has changed; null: not asked yet
     */
    paint(look) {
      grid.paint((spot, cell) => {
        const answer = look(spot);
        const [before, word, after] = cell.children;
        const opens = answer?.mark === "[";
        before.textContent = opens ? "[" : "";
        word.textContent = answer ? answer.word : "–";
        after.textContent = answer ? [answer.number, opens ? "" : answer.mark].filter(Boolean).join(" ") : "";
        set(cell, { "data-two": Boolean(answer?.number), "data-same": answer !== null && answer.colour === null });
        if (!answer?.colour) {
          cell.style.removeProperty("background-color");
          set(cell, { "data-on": false, "data-marked": Boolean(answer?.mark), "aria-label": answer ? answer.says : "not asked yet" });
          return;
        }
        cell.style.setProperty("background-color", hexColour(answer.colour));
        set(cell, { "data-on": brightness(answer.colour), "data-marked": answer.mark !== "", "aria-label": answer.says });
      });
    },
  };
}
