// @ts-check
// What the edits do to this text: the token after it, and how surprised the model is by it, before and after.
//
// What tests can rely on: [data-part="effect"]; in it [data-effect="kl | next | loss"]
import { make, quoted } from "../lib/dom.js";
import { fixed, probability, scientific, signed } from "../lib/numbers.js";

const LINES = [
  ["next", "likeliest next token"],
  ["kl", "its prediction moved by, KL"],
  ["loss", "loss per token of this text"],
];

export function textEffect() {
  const cells = Object.fromEntries(LINES.map(([name]) => [name, make("td", { class: "bl-value", "data-effect": name })]));
  const rows = Object.fromEntries(LINES.map(([name, word]) => [name, make("tr", {}, make("th", { scope: "row" }, word), cells[name])]));
  const table = make("table", { class: "bl-facts bl-effect" }, make("tbody", {}, ...Object.values(rows)));
  const says = make("p", { class: "bl-how" });
  const element = make("section", { class: "bl-panel", "aria-label": "what that does to this text", "data-part": "effect" }, make("h3", { class: "bl-title" }, "what that does to this text"), table, says);
  return {
    element,

    /**
     * @param {{kl?: number, next?: [string, number, number][], loss?: [number, number] | null}} effect empty: there are no edits
     * @param {string} hint what to do then; "": nothing is to be said
     */
    show({ kl, next, loss }, hint) {
      const known = kl !== undefined && next !== undefined;
      element.hidden = !known && !hint;
      table.hidden = !known;
      says.hidden = known;
      says.textContent = hint;
      if (!known) return;
      const [[before, p, q], [after, , r]] = next;
      cells.next.replaceChildren(quoted(before), ` ${probability(p)} → `, ...(after === before ? [probability(q)] : [quoted(after), ` ${probability(r)}`]));
      cells.kl.textContent = `${kl > 0 && kl < 0.0005 ? scientific(kl) : fixed(kl, 3)} nats`;
      rows.loss.hidden = !loss;
      if (loss) cells.loss.textContent = `${fixed(loss[0], 3)} → ${fixed(loss[1], 3)} nats (${loss[1] === loss[0] ? "0" : signed(loss[1] - loss[0])})`;
    },
  };
}
