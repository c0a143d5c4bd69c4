// @ts-check
// Cells of a run that get another run's value, one at a time: bloomlab/lens/cells.py and patching.py in JavaScript,
// without the estimates by gradients, which need Python. Only the layers from a cell up are computed, and of a token and
// those after it: what stands before is taken as it was read.
import { InputError, shorten } from "../model/errors.js";
import { bloom, onwards } from "../model/bloom.js";
import { firstColumns } from "../model/cache.js";
import { scoresOf } from "../model/causal_lm.js";
import { patch } from "../model/edits.js";
import { makeHooks } from "../model/hooks.js";
import { layerOf } from "../model/trace.js";

/**
 * @typedef {import("../model/weights.js").Bloom} Bloom
 * @typedef {import("../model/nn.js").Tensor} Tensor
 * @typedef {{row: number, column: number, spot: string, where: Record<string, number>}} Cell a part of a spot, and where it stands in the map
 * @typedef {{what: string, axes: [string, string], shape: [number, number], columns: string[], cells: Cell[], of: string}} Grid
 * @typedef {{ids: number[], values: Map<string, Tensor>, logits: Float32Array, cache: import("../model/attention.js").KeyValue[]}} Read
 */

/** The cells of a map, as lab.effects names them. @param {string} what @param {import("../model/weights.js").Config} config @param {number} columns @param {number} layer @param {number} head @returns {Grid} */
export function gridOf(what, { n_layer: layers, n_head: heads }, columns, layer, head) {
  const each = (/** @type {number} */ count) => Array.from({ length: count }, (_, i) => i);
  const all = each(layers);
  if (what === "stream") {
    const spots = [...all.map((i) => `h.${i}.resid_pre`), `h.${layers - 1}.resid_post`];
    return { what, axes: ["pos", "state"], shape: [columns, layers + 1], columns: ["embed", ...all.map(String)], of: "", cells: each(columns).flatMap((pos) => spots.map((spot, column) => ({ row: pos, column, spot, where: { pos } }))) };
  }
  if (what === "mlps") return { what, axes: ["pos", "layer"], shape: [columns, layers], columns: all.map(String), of: "", cells: each(columns).flatMap((pos) => all.map((i) => ({ row: pos, column: i, spot: `h.${i}.mlp.out`, where: { pos } }))) };
  if (what === "heads") return { what, axes: ["head", "layer"], shape: [heads, layers], columns: all.map(String), of: "", cells: each(heads).flatMap((own) => all.map((i) => ({ row: own, column: i, spot: `h.${i}.attn.mixed`, where: { head: own } }))) };
  if (what === "positions") {
    const both = all.flatMap((i) => each(heads).map((own) => [i, own]));
    return { what, axes: ["pos", "head"], shape: [columns, both.length], columns: both.map(([i, own]) => `${i}.${own}`), of: "", cells: each(columns).flatMap((query) => both.map(([i, own], column) => ({ row: query, column, spot: `h.${i}.attn.mixed`, where: { head: own, query } }))) };
  }
  const cells = each(columns).flatMap((query) => each(query + 1).map((key) => ({ row: query, column: key, spot: `h.${layer}.attn.probs`, where: { head, query, key } })));
  return { what, axes: ["query", "key"], shape: [columns, columns], columns: each(columns).map(String), of: `${layer}.${head}`, cells };
}

/** Read a text's ids, with its values at these spots, and the states before every layer. @param {Bloom} model @param {number[]} ids @param {string[]} spots @returns {Read} */
export function readRun(model, ids, spots) {
  const states = Array.from({ length: model.config.n_layer }, (_, layer) => `h.${layer}.resid_pre`);
  const hooks = makeHooks({ read: [...states, ...spots] });
  const { state, cache } = bloom(model, ids, { hooks });
  return { ids, values: hooks.readings, logits: lastScores(model, state), cache };
}

/** What is said after the last token. @param {Bloom} model @param {Tensor} state */
function lastScores(model, { data, shape }) {
  const width = /** @type {number} */ (shape.at(-1));
  return scoresOf(model, { data: data.subarray(data.length - width), shape: [1, width] }).data;
}

/** What is said after a run in which a cell has its part of other values. @param {Bloom} model @param {Read} into @param {Map<string, Tensor>} values @param {Cell} cell */
export function swapped(model, into, values, { spot, where }) {
  const layers = model.config.n_layer;
  const layer = Math.min(layerOf(spot, layers), layers - 1);
  const first = where.pos ?? where.query ?? 0;
  const width = model.config.hidden_size;
  const states = /** @type {Tensor} */ (into.values.get(`h.${layer}.resid_pre`));
  const past = firstColumns(into.cache, first);
  const hooks = makeHooks({ edit: { [spot]: [patch(/** @type {Tensor} */ (values.get(spot)), null, where).change] } });
  hooks.start(first);
  const left = into.ids.length - first;
  return lastScores(model, onwards(model, { data: states.data.subarray(first * width), shape: [1, left, width] }, { first: layer, past, hooks }).state);
}

/** Whether a cell's value is not the same in both. @param {Map<string, Tensor>} one @param {Map<string, Tensor>} other @param {Cell} cell @param {string[]} axes */
export function differs(one, other, { spot, where }, axes) {
  const [before, after] = [one, other].map((values) => /** @type {Tensor} */ (values.get(spot)));
  const { shape } = before;
  /** @param {number} axis @param {number} base @returns {boolean} */
  function within(axis, base) {
    if (axis === shape.length) return before.data[base] !== after.data[base];
    const named = where[axes[axis]];
    for (let i = named ?? 0; i < (named === undefined ? shape[axis] : named + 1); i++) if (within(axis + 1, base * shape[axis] + i)) return true;
    return false;
  }
  return within(0, 0);
}

/** The tokens that are compared: those named, else the likeliest, and the next likeliest. @param {Float32Array} logits @param {number | null} answer @param {number | null} rival @returns {[number, number]} */
export function pairOf(logits, answer, rival) {
  const best = Array.from(logits.keys()).reduce((/** @type {number[]} */ top, id) => {
    if (top.length < 2 || logits[id] > logits[top[1]]) top.push(id);
    return top.sort((one, other) => logits[other] - logits[one]).slice(0, 2);
  }, []);
  const first = answer ?? /** @type {number} */ (best.find((id) => id !== rival));
  return [first, rival ?? /** @type {number} */ (best.find((id) => id !== first))];
}

/** @param {string} text @param {string} other @param {number[][]} ids */
export function checkLengths(text, other, [ids, others]) {
  if (!others.length) throw new InputError("the text is empty; write at least one character");
  if (others.length !== ids.length) throw new InputError(`the two texts need as many tokens each, but have ${ids.length} and ${others.length}; change one of them`);
}
