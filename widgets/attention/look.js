// @ts-check
// Why this look: the score of the chosen cell as a sum of products, a part of the query's state times a part of the key's.
//   [data-part="look"]                     a job: lib/job.js; data-score, data-error
//   [data-part="look-against"]             a select: why there and not here, another key of the same query
//   [data-side="query | key"] tr[data-name], [data-side="pairs"] tr     data-value: in nats, of many texts
//                                          the mean beside data-spread; [data-silence]: an edit
import { cellNumber } from "../lib/causal.js";
import { isolated, make, pushButton, set } from "../lib/dom.js";
import { jobBox, overTexts } from "../lib/job.js";
import { fixed, scientific, signed } from "../lib/numbers.js";

const SIDES = [
  ["key", "parts of the key"],
  ["query", "parts of the query"],
  ["pairs", "query × key"],
];
const OTHERS = 12; // keys to compare with that are offered

/** @param {import("../lib/frame.js").Stage} stage */
export function lookReceipt(stage) {
  const job = jobBox(stage, { part: "look", opens: "explaining", start: "open", title: "why there?", how: "parts of the score", looks: "bl-panel", says: "bl-look-says", counts: "texts read" });
  const over = overTexts(stage, "look_over");
  const against = make("select", { class: "bl-select", "aria-label": "another key of this query", "data-lm-suppress-shortcuts": "true", "data-part": "look-against" });
  against.addEventListener("change", () => stage.choose({ against: Number(against.value) }));
  const bodies = Object.fromEntries(SIDES.map(([name]) => [name, make("tbody", { "data-side": name })]));
  const tables = SIDES.map(([name, word]) => make("table", { class: "bl-ledger bl-look" }, make("caption", { class: "bl-how" }, word), bodies[name]));
  const closes = make("p", { class: "bl-note", "data-part": "look-closes" });
  const found = make("div", {}, ...tables, closes);
  const element = job.element;
  element.append(make("p", { class: "bl-row" }, make("label", { class: "bl-how" }, "and not at ", against)), make("div", { class: "bl-row" }, over.element, job.run, job.stop, job.progress), job.says, found);

  let offered = "";
  /** The keys of this row that could be meant: the same token elsewhere, then those it looks at most. @param {any} picture @param {string[]} names @param {number} query @param {number} key @param {Float32Array | null} probs */
  function offer(picture, names, query, key, probs) {
    const chosen = stage.get("against");
    const same = (/** @type {number} */ token) => Number(picture.tokens[token].id === picture.tokens[key].id);
    const p = (/** @type {number} */ token) => probs?.[cellNumber(query, token)] ?? 0;
    const keys = Array.from({ length: query + 1 }, (_, token) => token).filter((token) => token !== key);
    const first = keys.sort((a, b) => same(b) - same(a) || p(b) - p(a)).slice(0, OTHERS);
    if (keys.includes(chosen) && !first.includes(chosen)) first.push(chosen);
    const now = JSON.stringify([first, names.length, query, key]);
    if (now !== offered) {
      offered = now;
      against.replaceChildren(make("option", { value: -1 }, "–"), ...first.map((token) => make("option", { value: token }, `${token} ${isolated(names[token])}`)));
    }
    against.value = String(first.includes(chosen) ? chosen : -1);
    against.disabled = !stage.get("live");
  }

  /** @param {Node | string} name @param {number} value @param {number} most @param {string} says @param {number} [spread] of many texts */
  function row(name, value, most, says, spread) {
    const more = (/** @type {number} */ digits) => (spread === undefined ? "" : ` ± ${fixed(spread, digits)}`);
    const bar = make("span", { class: "bl-signed-bar", "aria-hidden": "true", "data-sign": value < 0 ? "negative" : "positive" }, make("span"));
    bar.style.setProperty("--bl-part", String(value / most));
    return make("tr", { "data-name": says, "data-value": value }, make("th", { scope: "row" }, name), make("td", { class: "bl-bar-box" }, bar), make("td", { class: "bl-value", title: `${signed(value, 6)}${more(6)} nats`, "data-spread": spread ?? false }, `${signed(value, 2)}${more(2)}`));
  }

  let painted = "";
  /** @param {any} look @param {string[]} names */
  function paint(look, names) {
    const can = Boolean(stage.get("live") && stage.get("editable")) && look.state !== "running";
    const now = JSON.stringify([look.place, look.query, look.key, look.pairs, look.spread, can]);
    if (now === painted) return;
    painted = now;
    for (const [side] of SIDES) {
      const parts = side === "pairs" ? look.pairs.map((/** @type {any} */ [one, other, value]) => ({ name: `${one} × ${other}`, value })) : look[side];
      const most = Math.max(1e-12, ...parts.map((/** @type {any} */ part) => Math.abs(part.value)), Math.abs(look.rest[side][1]));
      const token = look.place[side];
      bodies[side].replaceChildren(
        ...parts.map((/** @type {any} */ { name, value, spot, axes }, /** @type {number} */ place) => {
          const at = `token ${token} ${isolated(names[token] ?? "")}`;
          const button = can && spot ? pushButton(name, { class: "bl-button bl-plain bl-part-name", title: `silence it at ${at}, as an edit`, "data-silence": name }, () => stage.wish({ do: "add", edit: { spot, kind: "zero", axes: Object.fromEntries(Object.entries(axes).map(([axis, index]) => [axis, [index]])) } })) : name;
          return row(button, value, most, name, look.spread[side]?.[place]);
        }),
        ...(look.rest[side][0] ? [row(`${look.rest[side][0]} smaller`, look.rest[side][1], most, "rest")] : []),
      );
    }
  }

  return {
    element,

    /** @param {any} picture @param {string[]} names @param {Record<string, number>} place @param {Float32Array | null} probs of the head */
    show(picture, names, place, probs) {
      const look = stage.get("look");
      const { live } = job.show(look, {
        idle: "the parts need the model, and here is none; open this before you save a page",
        begun: look.says || "reading …",
        so: ({ done, total, says }) => `${done} of ${total} texts read. ${says}`,
      });
      const there = look.pairs.length > 0;
      over.show(live);
      set(element, { "data-score": there && look.score, "data-error": there && look.error });
      if (element.open) offer(picture, names, place.query, place.key, probs);
      const elsewhere = there && ["layer", "head", "query", "key"].some((name) => look.place[name] !== place[name]);
      set(job.says, { "data-elsewhere": elsewhere });
      found.hidden = !there;
      if (!there) return;
      closes.textContent = `all products sum to ${signed(look.score)} within ${scientific(look.error)}; in nats, before the distance counts${look.texts ? `; mean ± spread over ${look.texts}` : ""}`;
      paint(look, names);
    },
  };
}
