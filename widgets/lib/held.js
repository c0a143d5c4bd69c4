// @ts-check
// By which way a change takes effect: what is left of it with each part that noticed held as it was.
//
// What tests can rely on:
//   [data-part="held"]                        the section; hidden where there is nothing to show and nobody to measure it
//   [data-part="hold-each"]                   the button that asks for it
//   [data-held="head 1.1 | MLP 0 | nothing | together | before"] [data-way="whole | q | k | v"]   a number; data-value
import { make, pushButton } from "./dom.js";

const HELD_BY = [
  ["whole", "held as it was", "with what the part gives held at its value without the change"],
  ["q", "its q alone", "with what its tokens ask for held"],
  ["k", "its k alone", "with what its tokens offer to be found by held"],
  ["v", "its v alone", "with what its tokens pass on held"],
];

/** How far the texts are apart. @param {any} row @param {(value: number) => string} write */
export const spreadOf = (row, write) => `8 in 10 texts from ${write(row.low)} to ${write(row.high)}`;

/** @param {{ask: () => void}} options */
export function heldTable({ ask }) {
  const button = pushButton("hold each", { "data-part": "hold-each", title: "run the change once more for each part that noticed it, with that part held at its value without the change" }, ask);
  const rows = make("tbody", {});
  const head = make("tr", {}, make("th", { scope: "col" }, "part"), ...HELD_BY.map(([, word, title]) => make("th", { scope: "col", class: "bl-value", title }, word)));
  const table = make("table", { class: "bl-facts bl-held" }, make("thead", {}, head), rows);
  const says = make("p", { class: "bl-how", role: "status" });
  const heading = make("h3", { class: "bl-title" }, "by which way ", make("span", { class: "bl-how" }, "what is left with a part held as it was"));
  const element = make("section", { class: "bl-held-section", "aria-label": "by which way the change takes effect", "data-part": "held" }, make("div", { class: "bl-row" }, heading, button), table, says);
  let shown = "";

  return {
    element,

    /**
     * @param {any} held `worth.held` @param {boolean} possible whether a kernel can measure it
     * @param {boolean} running whether something is being measured @param {(value: number) => string} write a number
     */
    show(held, possible, running, write) {
      const found = Boolean(held.rows);
      element.hidden = !found && !possible;
      button.hidden = !possible;
      button.disabled = running;
      table.hidden = !found;
      const now = JSON.stringify(held);
      if (now === shown) return;
      shown = now;
      says.textContent = found ? held.sentence : "";
      if (!found) return;
      const cells = (/** @type {any} */ row) =>
        HELD_BY.map(([way]) => make("td", { class: "bl-value", "data-way": way, "data-value": row[way] ?? false, title: way === "whole" && row.low !== undefined ? spreadOf(row, write) : false }, row[way] === null || row[way] === undefined ? "" : write(row[way])));
      const line = (/** @type {string} */ name, /** @type {string} */ word, /** @type {any} */ row) => make("tr", { "data-held": name }, make("th", { scope: "row" }, word), ...cells(row));
      rows.replaceChildren(
        line("nothing", "nothing", { whole: held.after }),
        ...held.rows.map((/** @type {any} */ row) => line(row.part, row.part, row)),
        ...(held.rows.length > 1 ? [line("together", `all ${held.rows.length} at once`, { whole: held.together })] : []),
        line("before", "the change not made", { whole: held.before }),
      );
    },
  };
}
