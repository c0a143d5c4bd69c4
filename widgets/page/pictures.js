// @ts-check
// What every picture of a trace has, and what is written of a token.
import { displayTokens, hex } from "../model/tokens.js";
import { stamp } from "./code.js";

/**
 * @typedef {import("../model/trace.js").Trace} Trace
 * @typedef {{model: import("../model/weights.js").Bloom, tokenizer: import("../model/tokenizer.js").Tokenizer, name: string,
 *   hash: string, parameters: number, dtype: string, code: string, special: number[], ends: number[], max_tokens: number, scripts: string[], names: Record<string, string>,
 *   world: Record<string, import("./like.js").Words>, stories: Record<string, string[]>}} Lab a model that is open in a page
 * @typedef {{donors: ReturnType<import("./donors.js").makeDonors>, like: ReturnType<import("./like.js").makeLike>}} Around what
 *   other texts have
 * @typedef {Record<string, any>} Shown the place, the settings and the pieces, by name
 * @typedef {{asked: (job: string, changed: string, shown: Shown) => string,
 *   steps: (lab: Lab, trace: Trace, shown: Shown, base: Trace | null, around: Around, empty: Shown) => Generator<Record<string, any>>}} Job
 *   a long job: whether a change asks for it ("run" or "stop"), and its steps, the first of which says that it has begun;
 *   `empty` is its piece before
 * @typedef {{name: string, title: string, compares: boolean, typed?: string[], needs?: Record<string, [string, string[], string | ((shown: Shown) => string)]>,
 *   jobs?: Record<string, Job>,
 *   place: (trace: Trace, place: Shown, first: boolean) => Record<string, number>,
 *   numbers: (lab: Lab, trace: Trace, shown: Shown, base: Trace | null) => Record<string, any>,
 *   more: (lab: Lab, trace: Trace, shown: Shown, changed: string, base: Trace | null) => Record<string, any>}} Panel
 *   as a Panel in Python; `needs`: jobs that a page cannot do: piece -> [the setting that asks for it, its values, the
 *   Python that does it, with TEXT in it, or how that follows from what is shown]
 */

const chips = /** @type {WeakMap<Trace["tokens"], {shown: string, tokens: number[]}[]>} */ (new WeakMap()); // of a text: each of its pictures has them

/** @param {Trace["tokens"]} tokens */
function chipsOf(tokens) {
  const found = chips.get(tokens) ?? displayTokens(tokens).map(({ shown, tokens: places }) => ({ shown, tokens: places }));
  chips.set(tokens, found);
  return found;
}

/** @param {Lab} lab @param {Trace} trace */
export function textPicture(lab, trace) {
  return {
    text: trace.text,
    layers: trace.config.n_layer,
    heads: trace.config.n_head,
    tokens: trace.tokens.map(({ id, bytes }) => ({ id, bytes: hex(bytes) })),
    chips: chipsOf(trace.tokens),
    stamp: stamp(trace, lab),
    edited: Object.keys(trace.edit).length > 0,
  };
}

const words = /** @type {WeakMap<Lab["tokenizer"], Map<number, string>>} */ (new WeakMap()); // by their ids: a grid names the same ones again and again

/** How a token of the vocabulary shows. @param {Lab} lab @param {number} id */
export function wordOf({ tokenizer }, id) {
  const known = words.get(tokenizer) ?? new Map();
  words.set(tokenizer, known);
  if (!known.has(id)) known.set(id, displayTokens(tokenizer.tokensOfIds([id])).map(({ shown }) => shown).join(""));
  return /** @type {string} */ (known.get(id));
}

/** How tokens of the vocabulary show, by their ids. @template Word @param {Iterable<number>} ids @param {(id: number) => Word} word @returns {Record<string, Word>} */
export function wordsOf(ids, word) {
  return Object.fromEntries([...new Set(ids)].sort((one, other) => one - other).map((id) => [id, word(id)]));
}

/** The last token, and the one before it. @param {Trace} trace */
export function lastPlace(trace) {
  const last = trace.ids.length - 1;
  return { query: last, key: Math.max(0, last - 1) };
}

/** Numbers of any length, one after the other. @param {ArrayLike<number>[]} parts */
export function joined(parts) {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
