// @ts-check
// Why this look, as bloomlab/views/attention/receipt.py shows it: its score as parts of the query × parts of the key, the
// largest of them; of this text, or their mean and spread over many.
import { InputError } from "../model/errors.js";
import { tokenNames } from "../model/tokens.js";
import { record } from "../model/trace.js";
import { repr } from "./code.js";
import { lookAgainst, lookRead, lookReceiptOf, meanLook, ofKey, ofQuery } from "./look_receipt.js";
import { placesOfParts } from "./receipt_lines.js";
import { SELECTION } from "./runs.js";
import { bySize, changeCell, largestOf, spreadInWords, spreadOf } from "./words.js";

/**
 * @typedef {import("./pictures.js").Lab} Lab
 * @typedef {import("./pictures.js").Shown} Shown
 * @typedef {import("./pictures.js").Around} Around
 * @typedef {import("../model/trace.js").Trace} Trace
 * @typedef {import("./look_receipt.js").LookReceipt} LookReceipt
 * @typedef {{layer: number, head: number, query: number, key: number, against: number}} Place
 */

const PARTS = 5; // of each side that cross to the page
const PAIRS = 6;
const NOTHING = 1e-4; // nats: what rounding may make of two equal keys
const TEXTS_AT_ONCE = 4; // read between two pictures of the page

/** The look that is explained; a key that comes after the query is compared with nothing, nor is the key itself. @param {Shown} shown @returns {Place} */
function placeOf({ layer, head, query, key, against }) {
  return { layer, head, query, key, against: against >= 0 && against <= query && against !== key ? against : -1 };
}

/** The receipt of a look in one run; against another key, the difference. @param {Lab} lab @param {Trace} read @param {Place} place */
function receiptAt({ model }, read, { layer, head, query, key, against }) {
  const found = lookReceiptOf(model, read, layer, head, query, key);
  return against < 0 ? found : lookAgainst(found, lookReceiptOf(model, read, layer, head, query, against));
}

/** The three lists of numbers that are shown, each with how many of it. @param {LookReceipt} found @returns {Record<string, [Float32Array, number]>} */
const listsOf = (found) => ({ query: [ofQuery(found), PARTS], key: [ofKey(found), PARTS], pairs: [found.parts, PAIRS] });

const sizesOf = (/** @type {Float32Array} */ values) => bySize(values.map(Math.abs));

/** The largest parts as the page draws them. @param {LookReceipt} found @param {Place} place @param {Trace} trace @param {Shown} empty */
function pageOf(found, place, { config }, empty) {
  const places = new Map(placesOfParts(place.layer, config.n_head).map((one) => [one.number, one]));
  const lists = listsOf(found);
  const side = (/** @type {"query" | "key"} */ name) =>
    sizesOf(lists[name][0]).slice(0, PARTS).map((part) => {
      const { spot, axes } = places.get(part) ?? { spot: "", axes: {} }; // nothing stands in a bias's place
      const at = spot && { [spot.endsWith("attn.mixed") ? "query" : "pos"]: place[name] };
      return { name: found.names[part], value: lists[name][0][part], spot, axes: { ...axes, ...at } };
    });
  const count = found.names.length;
  const pairs = sizesOf(found.parts).slice(0, PAIRS).map((cell) => [found.names[Math.floor(cell / count)], found.names[cell % count], found.parts[cell]]);
  const rest = Object.fromEntries(
    Object.entries(lists).map(([name, [values, most]]) => {
      const smaller = sizesOf(values).slice(most);
      return [name, [smaller.length, smaller.reduce((sum, part) => sum + values[part], 0)]];
    }),
  );
  return { ...empty, state: "running", place, score: found.score, error: found.error, query: side("query"), key: side("key"), pairs, rest };
}

/** What the look comes to, and which part of the key gives most of it. @param {LookReceipt} found @param {Place} place @param {string[]} names */
function finding(found, place, names) {
  const token = (/** @type {"query" | "key" | "against"} */ name) => `token ${place[name]} \u2068${names[place[name]]}\u2069`;
  const gives = ofKey(found);
  const most = largestOf(gives.map(Math.abs));
  const [score, part] = [changeCell(found.score), changeCell(gives[most], 2)];
  const ahead = `Head ${place.layer}.${place.head}, ${token("query")} at ${token("key")}`;
  if (place.against < 0) return `${ahead}: a score of ${score} nats; most of the key's side is ${found.names[most]}, ${part}.`;
  const both = `${ahead} and not at ${token("against")}`;
  if (Math.abs(found.score) < NOTHING) return `${both}: nothing in the score tells the two apart, only how far back they are.`;
  return `${both}: ${score} nats, of which ${found.names[most]} in the key gives ${part}.`;
}

/** What the look comes to in many texts: mean and spread. @param {LookReceipt[]} looks @param {LookReceipt} mean @param {Place} place @param {string} texts */
function findingOver(looks, mean, place, texts) {
  const most = largestOf(ofKey(mean).map(Math.abs));
  const against = place.against < 0 ? "" : ` and not at token ${place.against}`;
  const scores = looks.map(({ score }) => score);
  const turned = scores.filter((score) => Math.sign(score) !== Math.sign(mean.score)).length;
  const gives = `${mean.names[most]} in the key gives ${spreadInWords(looks.map((look) => ofKey(look)[most]))}`;
  return `${texts}: head ${place.layer}.${place.head}, token ${place.query} at token ${place.key}${against}: ${spreadInWords(scores)} nats, in ${turned} of ${looks.length} the other way; ${gives}.`;
}

/** The Python that gives it. @param {string} text @param {Place} place */
function codeOf(text, { layer, head, query, key, against }) {
  const look = (/** @type {number} */ at) => `look_receipt(lab.model, parts, ${layer}, ${head}, ${query}, ${at})`;
  const other = against < 0 ? "" : `look = look.against(${look(against)})\n`;
  return `from bloomlab.lens.look_receipt import READ, look_receipt\nparts = lab.trace(${repr(text)}, READ)\nlook = ${look(key)}\n${other}print(look.score, dict(zip(look.names, look.of_key.tolist())))\n`;
}

/** The same of many texts. @param {{before: string, texts: string}} code @param {Place} place */
function codeOver({ before, texts }, { layer, head, query, key, against }) {
  const other = against < 0 ? "" : `, ${against}`;
  return `from bloomlab.lens.look_receipts import look_receipts\n${before}*_, last = look_receipts(lab.model, lab.tokenizer, ${texts}, ${layer}, ${head}, ${query}, ${key}${other})\nlooks = last.results[0]\nprint(looks.score.mean(), dict(zip(looks.names, looks.of_key.mean(0).tolist())))\n`;
}

/**
 * The receipt of the chosen look: the text is read anew for the parts of its states. Of many texts, the mean.
 * @param {Lab} lab @param {Trace} trace @param {Shown} shown @param {Trace | null} _ @param {Around} around @param {Shown} empty
 * @returns {Generator<Record<string, any>>}
 */
export function* lookSteps(lab, trace, shown, _, { like }, empty) {
  const place = placeOf(shown);
  yield { look: { ...shown.look, state: "running", message: "", done: 0 }, explaining: "open" };
  if (shown.look_over === "texts") {
    yield* overTexts(lab, trace, place, like, empty);
    return;
  }
  const read = record(lab.model, lab.tokenizer, trace.text, lookRead(place.layer), trace.edit, trace.base);
  const found = receiptAt(lab, read, place);
  const code = Object.keys(trace.edit).length ? "" : codeOf(trace.text, place);
  yield { look: { ...pageOf(found, place, trace, empty), says: finding(found, place, tokenNames(trace.tokens)), code } };
}

/** The same look in other texts: the mean of its parts so far. @param {Lab} lab @param {Trace} trace @param {Place} place @param {Around["like"]} like @param {Shown} empty @returns {Generator<Record<string, any>>} */
function* overTexts(lab, trace, place, like, empty) {
  if (Object.keys(trace.edit).length) throw new InputError("many texts are read as they are; choose “this text”, or take the changes back");
  const cases = like.cases(trace.text);
  const code = codeOver(like.code(trace.text), place);
  const looks = [];
  for (const [number, { text }] of cases.entries()) {
    looks.push(receiptAt(lab, record(lab.model, lab.tokenizer, text, lookRead(place.layer)), place));
    if ((number + 1) % TEXTS_AT_ONCE && number + 1 < cases.length) continue;
    const [mean, name] = [meanLook(looks), like.name(looks.length)];
    const spread = /** @type {Record<string, any>} */ ({ score: spreadOf(looks.map(({ score }) => score))[1] });
    const each = looks.map(listsOf);
    for (const [list, [values, most]] of Object.entries(listsOf(mean))) spread[list] = sizesOf(values).slice(0, most).map((part) => spreadOf(each.map((lists) => lists[list][0][part]))[1]);
    yield { look: { ...pageOf(mean, place, trace, empty), texts: name, done: number + 1, total: cases.length, spread, says: findingOver(looks, mean, place, name), code } };
  }
}

/** When a look is explained, or no longer: as `AttentionPanel.asked`. @param {string} _ @param {string} changed @param {Shown} shown */
export function lookAsked(_, changed, shown) {
  const { explaining, picture, look } = shown;
  if (!["explaining", "against", "look_over", "tab", "picture", ...SELECTION].includes(changed)) return "";
  if (explaining !== "open" || picture.difference) return "stop";
  if (look.state === "running" && changed === "explaining") return "";
  const follows = changed === "tab" || SELECTION.includes(changed);
  const place = placeOf(shown);
  const same = Object.entries(place).every(([name, at]) => look.place[name] === at);
  return follows && (look.state === "idle" || same) ? "" : "run";
}
