// @ts-check
// What an edit, or another text, has changed in one look; and which heads noticed.
//
// What tests can rely on:
//   [data-part="change"]                    data-query, data-key: the cell; [data-change="before | after | change"]
//   [data-part="noticed"] [data-layer][data-head]   a head that noticed, the strongest first; a click goes to its look
//   [data-part="noticed"] [data-left]       what is left of the change with that head held as it was, where it is known
//   [data-part="noticed-hold"]              asks for that
import { make, pushButton, quoted, set } from "../lib/dom.js";
import { spreadOf } from "../lib/held.js";
import { fixed, probability, signed } from "../lib/numbers.js";

const LINES = [
  ["before", "as it is"],
  ["after", "what if"],
  ["change", "difference"],
];

/**
 * @param {{pick: (place: {layer: number, head: number, query: number, key: number}) => void, hold: () => void}} listeners
 */
export function lookChange({ pick, hold }) {
  const title = make("h3", { class: "bl-title" });
  const numbers = Object.fromEntries(LINES.map(([name]) => [name, make("td", { class: "bl-value", "data-change": name })]));
  const table = make("table", { class: "bl-facts" }, make("tbody", {}, ...LINES.map(([name, word]) => make("tr", {}, make("th", { scope: "row" }, word), numbers[name]))));
  const says = make("p", { class: "bl-how" });
  const list = make("ol", { class: "bl-noticed", "data-part": "noticed" });
  const holds = pushButton("hold each", { class: "bl-button bl-plain", "data-part": "noticed-hold", title: "what is left of the change with each of these heads held as it was" }, hold);
  const heading = make("h3", { class: "bl-title" }, "who noticed ", make("span", { class: "bl-how" }, "the largest change of a look"), holds);
  const element = make("section", { class: "bl-panel", "aria-label": "what has changed", "data-part": "change" }, title, table, heading, list, says);

  return {
    element,

    /** @param {import("../lib/causal.js").Picture} picture @param {string[]} names */
    list(picture, names) {
      const { noticed, heads } = /** @type {any} */ (picture).difference;
      list.replaceChildren(
        ...noticed.map((/** @type {number[]} */ [layer, head, query, key, before, after]) => {
          const go = pushButton(`head ${layer}.${head}`, { class: "bl-button bl-plain", "data-layer": layer, "data-head": head }, () => pick({ layer, head, query, key }));
          const whom = query === key ? ["itself"] : [quoted(names[key])];
          const left = make("span", { class: "bl-how", "data-of": `head ${layer}.${head}` });
          return make("li", {}, go, " ", quoted(names[query]), " looks at ", ...whom, ` ${probability(before)} → ${probability(after)}`, left);
        }),
      );
      const all = picture.layers * picture.heads;
      says.textContent = noticed.length ? `${heads} of ${all} heads look otherwise than before; grey: no change` : "no head looks otherwise than before";
    },

    /** @param {any} worth what was measured of the edits @param {boolean} possible whether a kernel can measure more */
    left(worth, possible) {
      const rows = worth?.held?.rows ?? [];
      holds.hidden = !possible || rows.length > 0 || list.children.length === 0;
      holds.disabled = worth?.state === "running";
      for (const place of list.querySelectorAll("[data-of]")) {
        const row = rows.find((/** @type {any} */ { part }) => part === place.getAttribute("data-of"));
        set(place, { "data-left": row?.whole ?? false });
        const write = (/** @type {number} */ value) => (worth.metric === "probability" ? `p ${probability(value)}` : `${fixed(value, 2)} nats`);
        const several = row?.low === undefined ? "" : ` on average of ${worth.held.texts} texts (${spreadOf(row, write)})`;
        place.textContent = row ? `; held as it was, ${write(row.whole)} is left${several}` : "";
      }
    },

    /** @param {string[]} names @param {import("../lib/causal.js").Cell} cell @param {number} before @param {number} after */
    show(names, { query, key }, before, after) {
      title.replaceChildren(quoted(names[query]), " looks at ", query === key ? "itself" : quoted(names[key]));
      set(element, { "data-query": query, "data-key": key });
      numbers.before.textContent = probability(before);
      numbers.after.textContent = probability(after);
      numbers.change.textContent = after === before ? "0" : signed(after - before);
    },
  };
}
