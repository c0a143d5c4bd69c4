// @ts-check
// What the task heads say while a text is written: the label that it would have if it ended there, and each token's tag.
import { make, set } from "../lib/dom.js";
import { probability } from "../lib/numbers.js";

const ROWS = [
  ["language", "label, if the text ended here"],
  ["tags", "tag"],
];

/** @param {{ask: (on: boolean) => void}} options */
export function headsSay({ ask }) {
  const box = make("input", { type: "checkbox", "data-part": "labels", "data-lm-suppress-shortcuts": "true" });
  box.addEventListener("change", () => ask(box.checked));
  const table = make("table", { class: "bl-said", "data-part": "said" });
  const room = make("div", { class: "bl-said-room", tabindex: 0, role: "group", "aria-label": "what the heads say, token by token", "data-lm-suppress-shortcuts": "true" }, table);
  const element = make("section", { class: "bl-panel", "aria-label": "task heads" }, make("h3", { class: "bl-title" }, "the task heads as it grows ", make("label", { class: "bl-how" }, box, " ask them")), room);
  let shown = /** @type {any} */ (null);

  return {
    element,

    /** @param {any} said @param {boolean} on @param {boolean} live @param {string[]} heads that there are */
    show(said, on, live, heads) {
      element.hidden = heads.length === 0;
      box.checked = on;
      box.disabled = !live;
      const rows = ROWS.filter(([task]) => said[task]);
      room.hidden = rows.length === 0;
      if (shown === said) return;
      shown = said;
      table.replaceChildren();
      if (!rows.length) return;
      const names = said.tokens.map((/** @type {string} */ name, /** @type {number} */ i) => make("th", { scope: "col", title: `token ${i}` }, make("bdi", { class: "bl-token" }, name)));
      table.append(
        make("thead", {}, make("tr", {}, make("td", {}), ...names)),
        make(
          "tbody",
          {},
          ...rows.map(([task, word]) =>
            make(
              "tr",
              { "data-task": task },
              make("th", { scope: "row" }, word),
              ...said[task].map((/** @type {[string, number]} */ [label, p], /** @type {number} */ i) => {
                const cell = make("td", { title: `${label}, p ${probability(p)}` }, label);
                set(cell, { "data-new": i > 0 && said[task][i - 1][0] !== label });
                cell.style.setProperty("--bl-part", p.toFixed(3));
                return cell;
              }),
            ),
          ),
        ),
      );
      room.scrollLeft = room.scrollWidth;
    },
  };
}
