// @ts-check
// Attention for a first look: one row of one head, as bars over the text. Standing at a token, how much of its attention
// does the head give to each token before it? Below, the same row of every head in small.
//
// What tests can rely on:
//   .bloomlab[data-level="first"]           the root, while this form is shown
//   [data-part="first"]                     the text, a bar for each token; takes the arrow keys, which choose where to stand
//   [data-part="first"] [data-token="N"]    data-value: the share it gets, or the change of it; data-role = query | later
//   [data-part="heads"]                     every head; heads.js
import { bytes, cellCount, cellNumber, floats, tokenNames } from "../lib/causal.js";
import { changeMenu } from "../lib/change.js";
import { barPainter } from "../lib/colours.js";
import { direction, make, quoted, set } from "../lib/dom.js";
import { fixed, probability, signed } from "../lib/numbers.js";
import { headGrid } from "./heads.js";

const LEAST_SAID = 0.05; // smaller shares have a bar and no number
const LONG = 40; // tokens from which on the bars are low

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @returns {import("../lib/frame.js").Panel}
 */
export function firstLook(stage) {
  let picture = /** @type {any} */ (null);
  let names = /** @type {string[]} */ ([]);
  let thumbs = bytes(null);
  let columns = /** @type {any[]} */ ([]);
  let drawn = ""; // the rows of the small bars
  let pointed = /** @type {number | null} */ (null);

  const differs = () => Boolean(picture?.difference);
  const chosen = () => ({ layer: stage.get("layer"), head: stage.get("head"), query: Math.min(stage.get("query"), names.length - 1) });

  /** A row of a head as its small picture has it: a number for each block of tokens. @param {number} layer @param {number} head @param {number} query */
  function roughRow(layer, head, query) {
    const row = Math.floor(query / picture.block);
    const start = (layer * picture.heads + head) * cellCount(Math.ceil(names.length / picture.block)) + cellNumber(row, 0);
    return Array.from(thumbs.subarray(start, start + row + 1), (step) => (differs() ? (step - 128) / 127.5 : (step / 255) ** 2));
  }

  /** The row itself, where its exact values are here. @param {number} layer @param {number} head @param {number} query */
  function row(layer, head, query) {
    const exact = stage.get("exact") ?? { first: 0, count: 0 };
    const at = layer * picture.heads + head - exact.first;
    const start = at * cellCount(names.length) + cellNumber(query, 0);
    const of = (/** @type {string} */ piece) => floats(stage.get(piece)).subarray(start, start + query + 1);
    const probs = at >= 0 && at < exact.count ? of("probs") : new Float32Array();
    if (probs.length === query + 1) {
      const before = differs() ? of("before") : null;
      return { exact: true, values: Array.from(probs, (p, key) => p - (before?.[key] ?? 0)) };
    }
    const rough = roughRow(layer, head, query);
    return { exact: false, values: Array.from({ length: query + 1 }, (_, key) => rough[Math.floor(key / picture.block)]) };
  }

  // ---- the pieces ----

  const title = make("h3", { class: "bl-title" });
  const text = make("div", {
    class: "bl-first",
    role: "listbox",
    tabindex: 0,
    "aria-label": "tokens; arrow keys choose where to stand",
    "aria-orientation": "horizontal",
    "data-lm-suppress-shortcuts": "true",
    "data-part": "first",
  });
  const heads = headGrid({ pick: (layer, head) => stage.choose({ layer, head }), point() {} });
  const menu = changeMenu(stage);
  const stand = (/** @type {number} */ query) => stage.choose({ query, key: Math.min(stage.get("key"), query) });
  const tokenOf = (/** @type {Event} */ event) => /** @type {Element} */ (event.target).closest("[data-token]")?.getAttribute("data-token");
  text.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const token = tokenOf(event);
    if (token) stand(Number(token));
  });
  text.addEventListener("pointerover", (/** @type {PointerEvent} */ event) => point(Number(tokenOf(event) ?? NaN)));
  text.addEventListener("pointerleave", () => point(null));
  text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const [on, back] = text.dir === "rtl" ? ["ArrowLeft", "ArrowRight"] : ["ArrowRight", "ArrowLeft"];
    const { query } = chosen();
    const to = { [on]: query + 1, [back]: query - 1, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (to >= 0 && to < names.length) stand(to);
  });
  stage.where.append(make("section", { class: "bl-panel", "aria-label": "one head" }, make("div", { class: "bl-first-top" }, title, menu.element), text));
  stage.which.append(
    make(
      "section",
      { class: "bl-panel", "aria-label": "all heads" },
      make("h3", { class: "bl-title" }, "every head ", make("span", { class: "bl-how" }, "layer ↓ · head →")),
      heads.element,
      make("p", { class: "bl-how" }, "everything: ", make("code", {}, "lab.explore(text)")),
    ),
  );
  stage.listen("change:exact change:probs change:before change:thumbs", stage.drawOnce);

  /** @param {number | null} token */
  function point(token) {
    pointed = Number.isNaN(token) ? null : token;
    stage.drawSoon();
  }

  // ---- drawing ----

  /** The small bars of every head; the same row in each. @param {number} query */
  function paintHeads(query) {
    const now = [query, differs(), stage.get("run")].join();
    if (now === drawn) return;
    drawn = now;
    const paint = barPainter(stage.body);
    heads.paint((canvas, layer, head) => paint(canvas, roughRow(layer, head, query), Math.ceil(names.length / picture.block)));
  }

  function draw() {
    const { layer, head, query } = chosen();
    const { exact, values } = row(layer, head, query);
    const number = (/** @type {number} */ value) => `${exact ? "" : "≈ "}${differs() ? signed(value) : probability(value)}`;
    const share = (/** @type {number} */ value) => (differs() ? signed(100 * value, 0) : fixed(100 * value, 0));
    columns.forEach(({ column, bar, says }, token) => {
      const value = values[token] ?? 0;
      const seen = token <= query;
      const role = token === query ? "query" : seen ? false : "later";
      set(column, { "data-role": role, "data-value": seen && value, "data-sign": value < 0 && "negative", "data-pointed": token === pointed, "aria-selected": String(token === query), title: seen ? `${names[token]}: ${number(value)}` : "comes later", "aria-label": `${names[token]}, ${seen ? number(value) : "comes later"}` });
      bar.style.setProperty("--bl-part", String(Math.abs(value)));
      says.textContent = seen && Math.abs(value) >= LEAST_SAID ? `${share(value)} %` : "";
    });
    if (columns[query]) set(text, { "aria-activedescendant": columns[query].column.id });
    title.textContent = `layer ${layer}, head ${head}`;
    paintHeads(query);
    heads.mark({ layer, head }, null, { query: null, key: null }, names.length);
    const said = pointed !== null && pointed <= query ? pointed : values.reduce((most, value, key) => (Math.abs(value) > Math.abs(values[most]) ? key : most), 0);
    const how = differs() ? `: ${number(values[said])}` : `: ${exact ? "" : "≈ "}${share(values[said])} %`;
    stage.say("standing at ", quoted(names[query]), differs() ? ", the look changes most at " : ", it looks at ", said === query ? "itself" : quoted(names[said]), how);
    menu.show(picture, names, { layer, head, query, key: Math.min(stage.get("key"), query), part: "head" });
    stage.showCode(/** @type {any} */ ({ code: [...picture.code, "more"] }), { layer, head, query, key: said, pattern: "head", more: "" });
  }

  return {
    draw,
    point,

    show(another) {
      picture = another;
      names = tokenNames(picture);
      thumbs = bytes(stage.get("thumbs"));
      drawn = "";
      pointed = null;
      text.dir = direction(picture.text);
      set(text, { "data-long": names.length > LONG });
      columns = names.map((name, token) => {
        const says = make("span", { class: "bl-first-says" });
        const bar = make("span", { class: "bl-first-bar" });
        const column = make("span", { class: "bl-first-token", role: "option", id: `${stage.id}-first-${token}`, "data-token": token }, says, bar, make("span", { class: "bl-token" }, name));
        return { column, bar, says };
      });
      text.replaceChildren(...columns.map(({ column }) => column));
      heads.show(picture, stage.id);
    },

    fit() {
      drawn = "";
    },

    tables: () => {
      const { layer, head, query } = chosen();
      const { values } = row(layer, head, query);
      return [{ title: `layer ${layer}, head ${head}, at token ${query}`, rows: () => [["token", differs() ? "change" : "probability"], ...values.map((value, key) => [`${key} ${names[key]}`, String(Number(value.toPrecision(7)))])] }];
    },
  };
}
