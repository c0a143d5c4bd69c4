// @ts-check
// Why does this token look there? The score of a look as a table, parts of the query × parts of the key, as
// bloomlab/lens/look_receipt.py has it.
//
//   q = Wq · norm(state of the query) + b,  k = Wk · norm(state of the key) + b       each state is a sum of parts
//   score = q · k / √head_dim = Σ over parts of the query, Σ over parts of the key
//
// The norm is held at the size it has measured, so each side is a sum, and so is their product.
import { matrixOf, mean } from "./lenses.js";
import { partNames, sigmaOf, streamParts } from "./receipt_lines.js";

/**
 * @typedef {import("../model/weights.js").Bloom} Bloom
 * @typedef {import("../model/trace.js").Trace} Trace
 * @typedef {{names: string[], parts: Float32Array, score: number, error: number}} LookReceipt as in Python; `parts`
 *   (query part, key part) one row after the other
 */

/** The spots that a look's receipt reads: no layer above the look's own is needed. @param {number} layer */
export function lookRead(layer) {
  const below = Array.from({ length: layer }, (_, i) => ["attn.mixed", "attn.out", "mlp.out", "resid_post"].map((part) => `h.${i}.${part}`));
  return ["embed", ...below.flat(), `h.${layer}.attn.scores`];
}

/**
 * The parts of one side: what each part of the state at a position, and the biases, give the head's query or its key.
 * @param {Bloom} model @param {Trace} trace @param {number} layer @param {number} head @param {number} position @param {0 | 1} which q or k
 */
function sideOf(model, trace, layer, head, position, which) {
  const { hidden_size: width, n_head: heads, layer_norm_epsilon: epsilon } = model.config;
  const { input_layernorm: norm, self_attention: { query_key_value: { weight, bias } } } = model.transformer.h[layer];
  const { parts, last } = streamParts(model, trace, position, layer);
  const sigma = sigmaOf(last, epsilon);
  const scaled = parts.map((part) => {
    const middle = mean(part);
    return part.map((value, i) => ((value - middle) / sigma) * norm.weight.data[i]);
  });
  const size = width / heads;
  const first = (3 * head + which) * size;
  return [...scaled, norm.bias.data].map((part, number) =>
    Float64Array.from({ length: size }, (_, row) => {
      let sum = number === scaled.length ? bias.data[first + row] : 0;
      for (let i = 0; i < width; i++) sum += weight.data[(first + row) * width + i] * part[i];
      return sum;
    }),
  );
}

/**
 * The score of one look of one head, in nats before the bias of its distance; the trace must have read lookRead(layer).
 * @param {Bloom} model @param {Trace} trace @param {number} layer @param {number} head @param {number} query @param {number} key
 * @returns {LookReceipt}
 */
export function lookReceiptOf(model, trace, layer, head, query, key) {
  const [queries, keys] = [sideOf(model, trace, layer, head, query, 0), sideOf(model, trace, layer, head, key, 1)];
  const root = Math.sqrt(queries[0].length);
  const table = queries.flatMap((one) => keys.map((other) => one.reduce((sum, value, i) => sum + value * other[i], 0) / root));
  const score = matrixOf(trace, "scores", layer, head)[query * trace.ids.length + key];
  return lookOf([...partNames(layer, model.config.n_head), "bias"], table, score);
}

/** Why here and not there: the difference to another look of the same head. @param {LookReceipt} look @param {LookReceipt} other */
export function lookAgainst(look, other) {
  return lookOf(look.names, look.parts.map((value, i) => value - other.parts[i]), look.score - other.score);
}

/** The mean of several looks. @param {LookReceipt[]} looks */
export function meanLook(looks) {
  return lookOf(looks[0].names, looks[0].parts.map((_, i) => mean(looks.map(({ parts }) => parts[i]))), mean(looks.map(({ score }) => score)));
}

/** @param {string[]} names @param {ArrayLike<number>} table @param {number} score @returns {LookReceipt} */
function lookOf(names, table, score) {
  const parts = Float32Array.from(table);
  return { names, parts, score, error: Math.abs(Array.from(table).reduce((sum, value) => sum + value, 0) - score) };
}

/** What each part of the query's state gives. @param {LookReceipt} look */
export const ofQuery = ({ names, parts }) => Float32Array.from(names, (_, row) => parts.subarray(row * names.length, (row + 1) * names.length).reduce((sum, value) => sum + value, 0));

/** What each part of the key's state gives. @param {LookReceipt} look */
export const ofKey = ({ names, parts }) => Float32Array.from(names, (_, column) => names.reduce((sum, __, row) => sum + parts[row * names.length + column], 0));
