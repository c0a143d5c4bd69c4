// @ts-check
// Of a difference: how surprised the model is by each token, in both runs, and where another text has other tokens.
//
// What tests can rely on:
//   [data-part="surprise"] [data-surprise="N"]   token N, in the colour of its change; takes the arrow keys; data-limit
//     data-before, data-after                    in nats; none for the first token, which nothing predicts
//     data-other                                 what stands there in the run as it is, where that is another token
//   [data-part="surprised"] li[data-token]       the largest changes; a click goes there
//   [data-change="before | after | change"]      of the chosen token
import { floats } from "../lib/causal.js";
import { divergingColours, signedStep } from "../lib/colours.js";
import { direction, isolated, make, pushButton, quoted, set, sightOf } from "../lib/dom.js";
import { legend } from "../lib/legend.js";
import { fixed, signed } from "../lib/numbers.js";
import { brightness, hexColour } from "../lib/states.js";

const LEAST = 0.01; // nats, the end of the scale at least
const HARDLY = 0.0005; // a smaller change would be written as 0.000
const MOST = 5; // changes listed
const LINES = [
  ["before", "as it is"],
  ["after", "what if"],
  ["change", "difference"],
];

/**
 * @typedef {{before: number, after: number, change: number}} Surprise in nats; NaN for the first token
 * @param {(name: string) => any} get a trait
 * @param {{tokens: any[], difference: {others: Record<string, string>, refusal: string}}} picture
 */
export function surpriseNumbers(get, { tokens, difference }) {
  const [after, before] = [floats(get("loss")), floats(get("loss_before"))];
  const at = (/** @type {number} */ token) => ({ before: before[token], after: after[token], change: after[token] - before[token] });
  const there = after.length > 0;
  const ranked = there ? tokens.map((_, token) => token).filter((token) => Math.abs(at(token).change) > 0) : [];
  ranked.sort((one, other) => Math.abs(at(other).change) - Math.abs(at(one).change));
  const mean = (/** @type {Float32Array} */ values) => values.slice(1).reduce((sum, value) => sum + value, 0) / (values.length - 1);
  return {
    at,
    there,
    ranked, // the tokens whose surprise has changed, the largest change first
    limit: Math.max(LEAST, ...ranked.slice(0, 1).map((token) => Math.abs(at(token).change))),
    whole: there && tokens.length > 1 ? { before: mean(before), after: mean(after) } : null,
    others: difference.others,
    refusal: difference.refusal,
  };
}

/** @param {{id: string, pick: (token: number) => void, point: (token: number | null) => void}} options */
export function surprises({ id, pick, point }) {
  const flow = make("div", { class: "bl-surprises", role: "listbox", tabindex: 0, "aria-label": "surprise at each token; left and right choose the token", "aria-orientation": "horizontal", "data-lm-suppress-shortcuts": "true", "data-part": "surprise" });
  const scale = legend();
  const says = make("p", { class: "bl-how", "data-part": "surprise-says" });
  const where = make(
    "section",
    { class: "bl-panel", "aria-label": "surprise" },
    make("h3", { class: "bl-title" }, "how much each token surprises it ", make("span", { class: "bl-how" }, "loss, nats · −log p(token)")),
    flow,
    scale.element,
    says,
  );
  const list = make("ol", { class: "bl-noticed" });
  const which = make("section", { class: "bl-panel", "aria-label": "what has changed most", "data-part": "surprised" }, make("h3", { class: "bl-title" }, "what has changed most ", make("span", { class: "bl-how" }, "surprise, nats")), list);
  const title = make("h3", { class: "bl-title" });
  const cells = Object.fromEntries(LINES.map(([name]) => [name, make("td", { class: "bl-value", "data-change": name })]));
  const table = make("table", { class: "bl-token-table" }, make("tbody", {}, ...LINES.map(([name, word]) => make("tr", {}, make("th", { scope: "row" }, word), cells[name]))));
  const note = make("p", { class: "bl-note" });
  const why = make("section", { class: "bl-panel", "aria-label": "surprise at the chosen token" }, title, table, note);
  const sight = sightOf(flow);
  let options = /** @type {any[]} */ ([]);
  let chosen = 0;

  const tokenUnder = (/** @type {Event} */ event) => {
    const option = /** @type {Element} */ (event.target).closest("[data-surprise]");
    return option ? Number(option.getAttribute("data-surprise")) : null;
  };
  flow.addEventListener("pointerover", (/** @type {PointerEvent} */ event) => point(tokenUnder(event)));
  flow.addEventListener("pointerleave", () => point(null));
  flow.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const token = tokenUnder(event);
    if (token !== null) pick(token);
  });
  flow.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const forwards = flow.dir === "rtl" ? -1 : 1;
    const to = { ArrowRight: chosen + forwards, ArrowLeft: chosen - forwards, Home: 0, End: options.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (to >= 0 && to < options.length) pick(to);
  });

  return {
    where,
    which,
    why,

    /** @param {boolean} there */
    reveal(there) {
      for (const element of [where, which, why]) element.hidden = !there;
    },

    /**
     * @param {ReturnType<typeof surpriseNumbers>} numbers
     * @param {string} text
     * @param {string[]} names of all tokens
     */
    show(numbers, text, names) {
      const colours = divergingColours(where);
      flow.dir = direction(text);
      options = names.map((name, token) => {
        const { before, after, change } = numbers.at(token);
        const other = numbers.others[token];
        const known = numbers.there && !Number.isNaN(change);
        const number = !known ? "–" : change === 0 ? "0" : Math.abs(change) < HARDLY ? "≈ 0" : signed(change, 2);
        const option = make(
          "span",
          { class: "bl-surprise", role: "option", id: `${id}-surprise-${token}`, "data-surprise": token, ...(known ? { "data-before": before, "data-after": after } : {}), ...(other === undefined ? {} : { "data-other": other }) },
          make("bdi", { class: "bl-token" }, name),
          ...(other === undefined ? [] : [make("span", { class: "bl-how" }, "was ", quoted(other))]),
          make("span", { class: "bl-number" }, number),
        );
        set(option, { "aria-label": sentence(numbers, names, token) });
        if (!known || Math.abs(change) < HARDLY) return option;
        const step = 3 * signedStep(change, numbers.limit);
        const colour = Array.from(colours.subarray(step, step + 3));
        option.style.setProperty("background-color", hexColour(colour));
        set(option, { "data-on": brightness(colour) });
        return option;
      });
      flow.replaceChildren(...options);
      set(flow, { "data-limit": numbers.limit });
      const limit = fixed(numbers.limit, 2);
      scale.element.hidden = !numbers.there;
      scale.show(colours, "what if − as it is, nats", [[0, `−${limit}`], [0.5, "0"], [1, `+${limit}`]]);
      says.textContent = saysOf(numbers);
      list.replaceChildren(
        ...numbers.ranked.slice(0, MOST).filter((token) => Math.abs(numbers.at(token).change) >= HARDLY).map((token) => {
          const { before, after } = numbers.at(token);
          const go = pushButton("", { class: "bl-button bl-plain", "data-go": token, "aria-label": `token ${token} ${isolated(names[token])}` }, () => pick(token));
          go.append(quoted(names[token]));
          return make("li", { "data-token": token, "data-before": before, "data-after": after }, go, ` token ${token}: ${fixed(before, 2)} → ${fixed(after, 2)}`);
        }),
      );
      if (list.childElementCount === 0) list.append(make("li", {}, numbers.refusal || (numbers.ranked.length ? "hardly any change" : "no change")));
      sight.forget();
    },

    /**
     * @param {ReturnType<typeof surpriseNumbers>} numbers
     * @param {string[]} names
     * @param {number} token
     * @param {number | null} pointed
     */
    mark(numbers, names, token, pointed) {
      chosen = token;
      options.forEach((option, i) => set(option, { "aria-selected": String(i === token), "data-pointed": i === pointed }));
      set(flow, { "aria-activedescendant": options[token].id });
      sight.keep(options[token]);
      const shown = pointed ?? token;
      const { before, after, change } = numbers.at(shown);
      const other = numbers.others[shown];
      title.replaceChildren(`token ${shown} `, quoted(names[shown]), ...(other === undefined ? [] : [make("span", { class: "bl-how" }, " as it is: "), quoted(other)]), make("span", { class: "bl-how" }, " surprise"));
      const known = numbers.there && !Number.isNaN(change);
      const nats = (/** @type {number} */ value) => `${fixed(value)} nats, p ${fixed(Math.exp(-value))}`;
      cells.before.textContent = known ? nats(before) : "–";
      cells.after.textContent = known ? nats(after) : "–";
      cells.change.textContent = !known ? "–" : change === 0 ? "0" : `${signed(change)} nats`;
      note.textContent = numbers.there && !known ? "nothing predicts the first token" : numbers.refusal;
    },

    sentence,
  };
}

/** What is true of the whole text. @param {ReturnType<typeof surpriseNumbers>} numbers */
function saysOf(numbers) {
  const count = Object.keys(numbers.others).length;
  const differ = count ? `${count} ${count === 1 ? "token differs" : "tokens differ"}, marked with what stood there. ` : "";
  if (!numbers.whole) return `${differ}${numbers.refusal}`;
  const { before, after } = numbers.whole;
  return `${differ}The mean of the text: ${fixed(before)} → ${fixed(after)} nats a token. Orange: more surprised, blue: less; grey: no change.`;
}

/** @param {ReturnType<typeof surpriseNumbers>} numbers @param {string[]} names @param {number} token */
function sentence(numbers, names, token) {
  const other = numbers.others[token];
  const where = `token ${token} ${isolated(names[token])}${other === undefined ? "" : `, as it is ${isolated(other)}`}`;
  const { before, after, change } = numbers.at(token);
  if (!numbers.there) return where;
  if (Number.isNaN(change)) return `${where}: nothing predicts the first token`;
  return change === 0 ? `${where}: surprise ${fixed(after)} nats, no change` : `${where}: surprise ${fixed(before)} nats as it is, ${fixed(after)} what if`;
}
