// @ts-check
// Many runs of one model, and what is measured after each, as bloomlab/lens/trials.py and cases.py have it.
import { causalLM, scoresOf } from "../model/causal_lm.js";
import { bloom } from "../model/bloom.js";
import { HookError, InputError } from "../model/errors.js";
import { makeHooks } from "../model/hooks.js";
import { logSoftmax } from "../model/nn.js";
import { topOf } from "./lenses.js";
import { textOf, tokenId } from "./receipt.js";

/**
 * @typedef {import("./pictures.js").Lab} Lab @typedef {import("./like.js").Case} Case
 * @typedef {import("../model/edits.js").NamedEdit} NamedEdit
 * @typedef {Record<string, NamedEdit[]>} SpotEdits edits by the exact names of their spots
 * @typedef {{ids: number[], pair: [number, number], before: number, said: number, one: Case}} Read
 */

/** The scores after the last token of a text. @param {Lab} lab @param {number[]} ids @param {Record<string, import("../model/hooks.js").Edit[]>} edit */
export function endOf(lab, ids, edit) {
  const hooks = makeHooks({ edit });
  let last;
  if (Object.hasOwn(edit, "logits")) last = causalLM(lab.model, ids, { hooks }).logits.data.slice((ids.length - 1) * lab.model.config.vocab_size);
  else {
    const { state } = bloom(lab.model, ids, { hooks });
    const width = lab.model.config.hidden_size;
    last = scoresOf(lab.model, { data: state.data.subarray(state.data.length - width), shape: [1, width] }).data;
  }
  if (last.some((score) => score === Infinity || Number.isNaN(score))) throw new HookError("with these edits the logits grow beyond all bounds (infinite, or not a number); use smaller numbers");
  return last;
}

/** @param {SpotEdits} edits */
export const changesOf = (edits) => Object.fromEntries(Object.entries(edits).map(([spot, several]) => [spot, several.map(({ change }) => change)]));

/** The difference of two tokens' logits, or the probability of the first. @param {Float32Array} logits @param {[number, number]} pair @param {string} metric */
export function measured(logits, [answer, rival], metric) {
  return metric === "probability" ? Math.exp(logSoftmax(logits)[answer]) : Math.fround(logits[answer] - logits[rival]);
}

/** A text without edits, and what is compared after it. @param {Lab} lab @param {Case} one @param {string} metric @returns {Read} */
export function readCase(lab, one, metric) {
  const ids = lab.tokenizer.encode(one.text);
  const [answer, rival] = /** @type {(number | null)[]} */ ([one.answer ? tokenId(lab, one.answer, "answer") : null, one.rival ? tokenId(lab, one.rival, "rival") : null]);
  if (answer !== null && answer === rival) throw new InputError("answer and rival are the same token, so their difference is always 0; name two");
  const logits = endOf(lab, ids, {});
  const best = topOf(logits, 2);
  const first = answer ?? /** @type {number} */ (best.find((id) => id !== rival));
  const second = rival ?? /** @type {number} */ (best.find((id) => id !== first));
  return { ids, pair: [first, second], before: measured(logits, [first, second], metric), said: best[0], one };
}

/** The tokens whose chance changes most, and most the other way, as texts that name them. @param {Lab} lab @param {Float32Array} before @param {Float32Array} after @returns {[string, string]} */
export function movedMost(lab, before, after) {
  const [p, q] = [before, after].map((logits) => logSoftmax(logits).map(Math.exp));
  const change = q.map((value, id) => value - p[id]);
  if (!change.some(Boolean)) {
    const [first, second] = topOf(before, 2);
    return [textOf(lab, first), textOf(lab, second)];
  }
  const named = (/** @type {Float64Array} */ sizes) =>
    topOf(sizes, Math.min(LIKELY, sizes.length)).map((id) => [id, textOf(lab, id)]).filter(([id, text]) => text && lab.tokenizer.encode(String(text)).join() === String(id)).map(([, text]) => String(text));
  const most = named(change.map(Math.abs));
  const sign = Math.sign(change[lab.tokenizer.encode(most[0])[0]]);
  return [most[0], named(change.map((value) => -value * sign)).find((text) => text !== most[0]) ?? most[1]];
}

const LIKELY = 50; // tokens whose chance changes most, among which those that are compared are looked for

/** A number between which and the smallest so large a share of some lie, in a straight line between two. @param {number[]} values @param {number} share */
export function quantile(values, share) {
  const sorted = values.slice().sort((one, other) => one - other);
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  return sorted[below] + (place - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
}

/** As the page gets it. @param {number} value */
export const rounded = (value) => Math.round(value * 1e6) / 1e6;
