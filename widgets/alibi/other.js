// @ts-check
// A model that has no ALiBi: what stands in its place, and how alike two places are by their distance.
//
// What tests can rely on: [data-part="other"], data-kind; in it [data-part="other-says"], [data-part="alike"],
// [data-part="other-table"] with a row for each frequency, or for each vector that was learned: data-turn, data-size
import { make, set } from "../lib/dom.js";
import { fixed } from "../lib/numbers.js";
import { plot, roundStep } from "../lib/plot.js";

const MOST = 8; // rows of the table: of more, every second, third, …

/** @typedef {{kind: string, says: string, frequencies: number[], sizes: number[], alike: number[]}} Other */

/** Which of so many are listed: at most MOST, evenly, the first and the last among them. @param {number} count */
function listed(count) {
  if (count <= MOST) return Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: MOST }, (_, i) => Math.round((i * (count - 1)) / (MOST - 1)));
}

export function otherPositions() {
  const says = make("p", { class: "bl-note", "data-part": "other-says" });
  const lines = plot({ part: "alike", says: "how alike two places are, by their distance" });
  const table = make("table", { class: "bl-facts", "data-part": "other-table" });
  const heading = make("h3", { class: "bl-title" }, "what stands in ALiBi's place ", make("span", { class: "bl-how" }, "how alike two places are ↑ tokens apart →"));
  const element = make("section", { class: "bl-panel", "aria-label": "what stands in ALiBi's place", "data-part": "other" }, heading, says, lines.element, table);

  /** @param {string[]} head @param {{cells: string[], mark: Record<string, number>}[]} rows */
  function fill(head, rows) {
    table.replaceChildren(
      make("thead", {}, make("tr", {}, ...head.map((word) => make("th", { scope: "col" }, word)))),
      make("tbody", {}, ...rows.map(({ cells: [first, ...rest], mark }) => make("tr", mark, make("th", { scope: "row" }, first), ...rest.map((word) => make("td", { class: "bl-value" }, word))))),
    );
  }

  /** @param {number[]} alike */
  function draw(alike) {
    const last = alike.length - 1;
    const [most, least] = [1, Math.min(0, ...alike)];
    const up = (/** @type {number} */ value) => (most - value) / (most - least);
    const step = Math.max(1, roundStep(last, 6));
    lines.axes({
      left: [1, 0.5, 0, ...(least < -0.25 ? [-0.5] : [])].filter((value) => value >= least).map((value) => ({ at: up(value), text: fixed(value, 1) })),
      below: Array.from({ length: Math.floor(last / step) + 1 }, (_, i) => ({ at: (i * step) / last, text: String(i * step) })),
    });
    lines.show([{ points: alike.map((value, distance) => [distance / last, up(value)]), colour: "--bl-accent", width: 2 }], []);
    lines.paint();
  }

  return {
    element,
    paint: () => lines.paint(),

    /** @param {Other | undefined} other none, if the model has ALiBi @param {number} distance between the chosen tokens */
    show(other, distance) {
      element.hidden = !other;
      if (!other) return;
      set(element, { "data-kind": other.kind });
      says.textContent = other.says;
      lines.element.hidden = other.alike.length < 2;
      if (other.alike.length > 1) draw(other.alike);
      table.hidden = !other.frequencies.length && !other.sizes.length;
      const name = other.kind === "rotary" ? "pair" : "wave";
      if (other.frequencies.length)
        fill(
          [name, "radians per token", "tokens per turn", `angle ${distance} apart`],
          listed(other.frequencies.length).map((i) => {
            const turn = (2 * Math.PI) / other.frequencies[i];
            return { cells: [String(i), fixed(other.frequencies[i], 4), fixed(turn, turn < 10 ? 1 : 0), fixed(other.frequencies[i] * distance, 3)], mark: { "data-turn": turn } };
          }),
        );
      else if (other.sizes.length)
        fill(
          ["position", "length of its vector"],
          listed(other.sizes.length).map((i) => ({ cells: [String(i), fixed(other.sizes[i], 3)], mark: { "data-size": other.sizes[i] } })),
        );
    },
  };
}
