// @ts-check
// Where the answer is carried, as bloomlab/views/hidden/effects.py shows it: a map of effects, every cell measured by a
// run. The estimates that Python makes first need gradients, so they are not in the page.
//
//   share = (D of the run − D with the cell changed) / (D of the run − D of the other)     D: answer less rival, in logits
import { InputError } from "../model/errors.js";
import { hookNames } from "../model/hooks.js";
import { tokenNames } from "../model/tokens.js";
import { readable, repr } from "./code.js";
import { checkLengths, differs, gridOf, pairOf, readRun, swapped } from "./cells.js";
import { standIn } from "./donors.js";
import { mean, topOf } from "./lenses.js";
import { textOf, tokenId } from "./receipt.js";
import { bySize, largestOf, numberInWords, spreadOf } from "./words.js";

/**
 * @typedef {import("./pictures.js").Lab} Lab
 * @typedef {import("./pictures.js").Shown} Shown
 * @typedef {import("./pictures.js").Around} Around
 * @typedef {import("../model/trace.js").Trace} Trace
 * @typedef {import("./cells.js").Grid} Grid
 * @typedef {import("./cells.js").Read} Read
 * @typedef {{grid: Grid, exact: Float64Array, ran: boolean[], answer: string, rival: string, here: number, there: number,
 *   instead: string, mode: string, floor: number | null, texts: number, leftOut: number, spread: Float64Array | null,
 *   turned: Float64Array | null, nats: Float64Array}} Effects the map, row by row: NaN where there is no cell, or none was measured
 */

const OFFERS = 8; // tokens that may be meant
const MOST_ALIKE = 20; // texts with the same answer that the noise is measured with
const MOST_NAMED = 2; // tokens that differ, in a sentence
const SHOWN = 40; // characters of a text in a sentence
const SMALL = 0.1; // nats: of a smaller difference no share is taken
const TURNED = 0.25; // of the texts: where the sign turns in more, a cell is unstable
const CELLS_AT_ONCE = 4; // between two pictures of the page

/** There is no difference to take shares of. */
class NoLead extends InputError {}

/** The other text in words. @param {Lab} lab @param {number[]} ids @param {number[]} base @param {string} mode */
function otherInWords(lab, ids, base, mode) {
  const decoded = (/** @type {number[]} */ some) => some.map((id) => textOf(lab, id)).join("");
  const places = ids.flatMap((id, i) => (id === base[i] ? [] : [i]));
  const text = decoded(ids);
  const letters = Array.from(text);
  let shown = repr(letters.length <= SHOWN ? text : `${letters.slice(0, SHOWN - 1).join("")}…`);
  if (places.length && places.length <= MOST_NAMED) shown = `the other text (${places.map((i) => `${repr(textOf(lab, ids[i]))} for ${repr(textOf(lab, base[i]))}`).join(", ")})`;
  return mode === "needed" ? `what ${shown} has` : shown;
}

/**
 * The map of one text, some cells a step.
 * @param {Lab} lab @param {string} text @param {string} other "" is none @param {import("./donors.js").Stand | null} place
 * @param {{what: string, mode: string, layer: number, head: number, answer: string, rival: string}} settings @param {string[]} alike
 * @returns {Generator<{done: number, total: number, found: Effects | null}>}
 */
function* effectsOf(lab, text, other, place, { what, mode, layer, head, answer, rival }, alike) {
  const { model, tokenizer } = lab;
  const ids = tokenizer.encode(text);
  const others = other ? tokenizer.encode(other) : null;
  if (others) checkLengths(text, other, [ids, others]);
  const grid = gridOf(what, model.config, ids.length, layer, head);
  const named = [answer ? tokenId(lab, answer, "answer") : null, rival ? tokenId(lab, rival, "rival") : null];
  if (named[0] !== null && named[0] === named[1]) throw new InputError("answer and rival are the same token, so their difference is always 0; name two");
  yield { done: 0, total: 0, found: null }; // nothing stands in the way

  const spots = [...new Set(["h.0.resid_pre", ...grid.cells.map(({ spot }) => spot)])];
  const here = readRun(model, ids, spots);
  const there = others && readRun(model, others, spots);
  let [first, second] = named;
  if (there) {
    first ??= largestOf(here.logits);
    const said = largestOf(there.logits);
    if (second === null && said !== first) second = said;
  }
  const pair = pairOf(here.logits, first, second);
  const leadOf = (/** @type {Float32Array} */ logits) => logits[pair[0]] - logits[pair[1]];
  const cells = grid.shape[0] * grid.shape[1];
  const at = (/** @type {{row: number, column: number}} */ cell) => cell.row * grid.shape[1] + cell.column;
  const exact = new Float64Array(cells).fill(NaN);
  const found = /** @type {Effects} */ ({ grid, exact, ran: Array(cells).fill(false), answer: textOf(lab, pair[0]), rival: textOf(lab, pair[1]), here: leadOf(here.logits), there: there ? leadOf(there.logits) : 0, instead: there ? otherInWords(lab, /** @type {number[]} */ (others), ids, mode) : (place?.words ?? "").replace(" (there are no texts like this one)", ""), mode, floor: null, texts: 1, leftOut: 0, spread: null, turned: null, nats: exact });
  const unit = found.here - found.there;
  const inNats = () => ({ ...found, exact: exact.slice(), nats: exact.map((value) => value * unit) });
  if (others && others.join() === ids.join()) { // nothing is lost, and all of the answer is there
    for (const cell of grid.cells) exact[at(cell)] = mode === "enough" ? 1 : 0;
    yield { done: 0, total: 0, found: inNats() };
    return;
  }
  if (Math.abs(unit) < SMALL) throw new NoLead(`the answer's lead over the rival is ${found.here.toFixed(2)} here and ${found.there.toFixed(2)} there: too near each other to take shares of; name other tokens with answer=… and rival=…, or another text`);

  const base = there && mode === "enough" ? there : here;
  const values = there ? (mode === "enough" ? here.values : there.values) : putInPlace(here, spots, /** @type {import("./donors.js").Stand} */ (place), model.config.n_layer);
  const [before, share] = base === here ? [found.here, unit] : [found.there, -unit];
  const axes = hookNames(model.config.n_layer);
  const differing = grid.cells.filter((cell) => differs(base.values, values, cell, /** @type {string} */ (axes.get(cell.spot)).split(" ")));
  for (const cell of grid.cells) exact[at(cell)] = 0;
  for (const cell of differing) exact[at(cell)] = NaN;
  const total = differing.length;
  yield { done: 0, total, found: inNats() };
  const last = ids.length - 1;
  const soon = (/** @type {{where: Record<string, any>}} */ { where }) => {
    const place = where.pos ?? where.query ?? -1;
    return place === last || Boolean(others && place >= 0 && others[place] !== ids[place]);
  };
  const order = [...differing.filter(soon), ...differing.filter((cell) => !soon(cell))];
  for (const [done, cell] of order.entries()) {
    exact[at(cell)] = (before - leadOf(swapped(model, base, values, cell))) / share;
    found.ran[at(cell)] = true;
    if ((done + 1) % CELLS_AT_ONCE === 0 || done + 1 === total) yield { done: done + 1, total, found: inNats() };
  }
  if (alike.length && total) {
    found.floor = floorOf(lab, here, alike, leadOf, unit);
    yield { done: total, total, found: inNats() };
  }
}

/** What an edit puts at each spot of a run. @param {Read} run @param {string[]} spots @param {import("./donors.js").Stand} place @param {number} layers */
function putInPlace(run, spots, place, layers) {
  const axes = hookNames(layers);
  const edit = place.edit({}, run.ids);
  return new Map(
    spots.map((spot) => {
      const names = /** @type {string} */ (axes.get(spot)).split(" ");
      return [spot, edit.change(/** @type {import("../model/nn.js").Tensor} */ (run.values.get(spot)), { name: spot, axes: names, column: 0 })];
    }),
  );
}

/** By how much of the unit texts with the same answer differ from this one, on average. @param {Lab} lab @param {Read} here @param {string[]} alike @param {(logits: Float32Array) => number} leadOf @param {number} unit */
function floorOf({ model, tokenizer }, here, alike, leadOf, unit) {
  const rows = new Map(alike.map((text) => tokenizer.encode(text)).map((ids) => [ids.join(), ids]));
  rows.delete(here.ids.join());
  const said = largestOf(here.logits);
  const moved = [...rows.values()]
    .filter((ids) => ids.length === here.ids.length)
    .slice(0, MOST_ALIKE)
    .map((ids) => readRun(model, ids, []).logits)
    .filter((logits) => largestOf(logits) === said)
    .map((logits) => Math.abs(leadOf(logits) - leadOf(here.logits)));
  return moved.length ? moved.reduce((sum, value) => sum + value, 0) / moved.length / Math.abs(unit) : null;
}

/** Several maps as one, of means. @param {Effects[]} found @param {number} leftOut @returns {Effects} */
function meanOf(found, leftOut) {
  const [first] = found;
  const count = found.length;
  const over = (/** @type {(values: number[]) => number} */ of) => first.exact.map((_, cell) => of(found.map(({ exact }) => exact[cell])));
  const alike = new Set(found.map(({ answer, rival }) => JSON.stringify([answer, rival]))).size === 1;
  const floors = found.flatMap(({ floor }) => (floor === null ? [] : [floor]));
  return {
    ...first,
    instead: new Set(found.map(({ instead }) => instead)).size === 1 ? first.instead : first.mode === "needed" ? "what its other text has" : "its other text",
    answer: alike ? first.answer : "",
    rival: alike ? first.rival : "",
    here: mean(found.map(({ here }) => here)),
    there: mean(found.map(({ there }) => there)),
    exact: over(mean),
    floor: floors.length ? mean(floors) : null,
    spread: count > 1 ? over((values) => spreadOf(values)[1]) : null,
    turned: count > 1 ? over((values) => spreadOf(values.map(Math.fround))[2]) : null,
    texts: count,
    leftOut,
    nats: first.exact.map((_, cell) => mean(found.map(({ nats }) => nats[cell]))),
  };
}

/** The maps of several texts, as their mean so far. @param {Lab} lab @param {import("./like.js").Case[]} cases @param {import("./donors.js").Stand | null} place @param {any} settings @returns {Generator<{done: number, total: number, found: Effects | null}>} */
function* effectsOver(lab, cases, place, settings) {
  const alike = cases.map(({ text }) => text);
  const found = /** @type {Effects[]} */ ([]);
  const total = 1000 * cases.length;
  let [leftOut, so] = [0, /** @type {Effects | null} */ (null)];
  for (const [number, one] of cases.entries()) {
    try {
      let last = null;
      for (const step of effectsOf(lab, one.text, place ? "" : one.other, place, { ...settings, answer: one.answer || settings.answer, rival: one.rival || settings.rival }, alike)) {
        last = step.found;
        yield { done: Math.round(1000 * (number + Math.min(step.total ? step.done / step.total : 0, 0.999))), total, found: so };
      }
      if (last) found.push(last);
    } catch (error) {
      if (!(error instanceof NoLead) || ++leftOut === cases.length) throw error;
    }
    if (found.length) so = meanOf(found, leftOut);
    yield { done: 1000 * (number + 1), total, found: so };
  }
}

/** What the rows, the columns and a cell are, in words. @param {Effects} found @param {string[]} tokens */
function namesOf({ grid }, tokens) {
  const rows = grid.axes[0] === "head" ? Array.from({ length: grid.shape[0] }, (_, head) => `head ${head}`) : tokens;
  const columns = grid.axes[1] === "key" ? tokens : grid.axes[1] === "head" ? grid.columns : grid.columns.map((name) => (name === "embed" ? name : `layer ${name}`));
  const cell = (/** @type {number} */ row, /** @type {number} */ column) => {
    const at = grid.columns[column];
    if (grid.what === "stream") return `token ${tokens[row]}, ${at === "embed" ? "embedding" : `after layer ${at}`}`;
    if (grid.what === "mlps") return `MLP ${at} at token ${tokens[row]}`;
    if (grid.what === "heads") return `head ${at}.${row}`;
    if (grid.what === "positions") return `head ${at} at token ${tokens[row]}`;
    return `head ${grid.of}'s look from token ${tokens[row]} at token ${tokens[column]}`;
  };
  return { rows, columns, cell };
}

/** A map as the page draws it. @param {Effects} found @param {string[]} tokens */
function pageOf(found, tokens) {
  const { rows, columns, cell } = namesOf(found, tokens);
  const { exact, spread, turned, floor } = found;
  const width = columns.length;
  const unit = found.here - found.there;
  const none = (/** @type {Float64Array} */ values) => Array.from(values, (value) => (Number.isNaN(value) ? null : value));
  const known = exact.some(Number.isFinite);
  const largest = bySize(exact.map((value) => (Number.isNaN(value) ? -1 : Math.abs(value))))[0];
  const [row, column] = [Math.floor(largest / width), largest % width];
  const unstable = turned ? Array.from(turned, (share) => share > TURNED) : [];
  let says = "";
  if (known) {
    const lead = found.answer ? `${readable(repr(found.answer))} over ${readable(repr(found.rival))}` : "answer over rival";
    const share = `${numberInWords(exact[largest])} of the lead of ${lead} (${numberInWords(unit)} nats)`;
    says = found.mode === "needed" ? `${share} goes with ${found.instead} in the place of ${cell(row, column)}, the cell that matters most` : `${share} comes with ${cell(row, column)} alone, put into ${found.instead}: the cell that matters most`;
    if (spread) says = `mean of ${found.texts} texts${found.leftOut ? ` (${found.leftOut} others have no lead to share)` : ""}: ${says}; spread ${numberInWords(spread[largest])}`;
    says = `${readable(says)}.`;
  }
  const trust = [];
  if (known) {
    const turning = unstable.filter((one, i) => one && !(Math.abs(exact[i]) < (floor ?? 0))).length;
    if (turning) trust.push(`in ${turning} cell${turning === 1 ? "" : "s"} (?, hatched) more than ${100 * TURNED}% of the texts have another sign`);
    if (floor !== null) trust.push(`texts with the same answer differ by ${numberInWords(floor)} of it: less than that is noise`);
  }
  return {
    rows: rows.map(readable), columns: columns.map(readable), values: none(exact), nats: none(found.nats), measured: Array.from(exact, Number.isFinite), of: found.grid.of, texts: found.texts,
    answer: readable(found.answer), rival: readable(found.rival), spread: spread ? none(spread) : [], turned: turned ? none(turned) : [], unstable, unit, floor, largest: known ? [row, column] : [0, 0], says, trust: readable(trust.join("; ")),
  };
}

/** When the map is measured, or stopped: as `HiddenPanel.asked`. @param {string} _ @param {string} changed @param {Shown} shown */
export function effectsAsked(_, changed, shown) {
  if (changed !== "mapping" && changed !== "picture" && !changed.startsWith("map_")) return "";
  if (shown.mapping !== "open") return "stop";
  return changed.startsWith("map_") || !["running", "done"].includes(shown.effects.state) ? "run" : "";
}

/**
 * The map, some cells a step; of many texts, the mean of their maps so far. The first step says that it has begun.
 * @param {Lab} lab @param {Trace} trace @param {Shown} shown @param {Around} around
 * @returns {Generator<Record<string, any>>}
 */
export function* effectSteps(lab, trace, shown, { donors, like }) {
  if (Object.keys(trace.edit).length) throw new InputError("the map is of the text as it is; choose “as it is”, or take the changes back");
  const { text } = trace;
  const other = shown.map_other;
  const named = { answer: shown.map_answer, rival: shown.map_rival };
  const [what, mode] = [shown.map_what, shown.map_mode];
  const settings = { what, mode, layer: shown.layer, head: shown.head, ...named };
  const looks = what === "looks" ? `, layer=${shown.layer}, head=${shown.head}` : "";
  const asked = `, what=${repr(what)}, mode=${repr(mode)}${looks}${Object.entries(named).map(([name, token]) => (token ? `, ${name}=${repr(token)}` : "")).join("")}`;
  if (!other && mode === "enough") throw new InputError("'enough' copies from the text into another one, so it needs other=… and no instead=…");
  const place = other ? null : standIn(donors, like, text, shown.map_instead);
  const many = shown.map_over === "texts";
  let before = place?.before ?? "";
  let given = other ? `, ${repr(other)}` : place?.standard && !many ? "" : `, instead=${place?.code}`;
  let steps;
  if (many) {
    const cases = [{ text, other, ...named }, ...like.cases(text, { other, ...named })];
    const { before: lines, texts } = like.code(text, { other, ...named });
    before = lines;
    given += `, texts=${texts}`;
    steps = effectsOver(lab, cases, place, settings);
  } else {
    const own = place?.kind === "drawn" ? like.setOf(text).texts : [];
    steps = effectsOf(lab, text, other, place, settings, own);
  }
  const code = `${before}print(lab.effects(${repr(text)}${given}${asked}))\n`;
  const best = topOf(readRun(lab.model, trace.ids, []).logits, Math.min(OFFERS, lab.model.config.vocab_size));
  const offers = best.map((id) => textOf(lab, id)).filter((token) => lab.tokenizer.encode(token).length === 1);
  const names = tokenNames(trace.tokens).map((name, place) => `${place} ${name}`);
  let piece = { ...shown.effects, state: "running", message: "", done: 0, total: 0, offers };
  steps.next(); // what cannot be done is refused here
  yield { effects: piece, mapping: "open" };
  for (const { done, total, found } of steps) {
    piece = { ...piece, done, total, ...(found ? { what, mode, kind: place?.kind ?? "", other, code, ...pageOf(found, names) } : {}) };
    yield { effects: piece };
  }
}
