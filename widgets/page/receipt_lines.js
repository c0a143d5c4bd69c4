// @ts-check
// A difference of two logits as a sum, a line for each part of the model: bloomlab/lens/receipt.py in JavaScript; and an
// MLP's line opened, as lens/mlp_receipt.py does it.
//
//   last = embedding + Σ heads + Σ attention biases + Σ MLPs              the residual stream is a sum
//   direct    (part − its mean) / σ · γ·d      the last norm held at its measured size σ
//   adapted   what the difference loses when the part is left out and the last norm sets σ anew
//   total     what it loses when something stands in the part's place and all that follows is computed anew
import { InputError } from "../model/errors.js";
import { makeHooks } from "../model/hooks.js";
import { bloom, onwards } from "../model/bloom.js";
import { scoresOf } from "../model/causal_lm.js";
import { gelu, layerNorm, linear } from "../model/nn.js";
import { bySpot, resolve } from "../model/trace.js";
import { dot, mean, topOf } from "./lenses.js";

/**
 * @typedef {import("../model/weights.js").Bloom} Bloom
 * @typedef {import("../model/trace.js").Trace} Trace
 * @typedef {number | "mean" | null} Versus another token, the mean of all, or nothing
 * @typedef {{names: string[], direct: Float32Array, adapted: Float32Array, difference: number, error: number,
 *   total: Float32Array | null, moved: Float32Array[] | null}} Receipt as in Python
 * @typedef {{number: number, spot: string, axes: Record<string, number>}} Place where a part is replaced
 * @typedef {Pick<Trace, "ids" | "config" | "read">} Run what has been read
 */

export const RECEIPT_READ = ["embed", "attn.mixed", "attn.out", "mlp.out", "resid_post"];

/** @param {number} layers @param {number} heads */
export function partNames(layers, heads) {
  const each = Array.from({ length: layers }, (_, layer) => [...Array.from({ length: heads }, (_, head) => `head ${layer}.${head}`), `attention bias ${layer}`, `MLP ${layer}`]);
  return ["embedding", ...each.flat()];
}

/** Where each part is replaced; nothing stands in a bias's place. @param {number} layers @param {number} heads @returns {Place[]} */
export function placesOfParts(layers, heads) {
  const found = [{ spot: "embed", axes: {} }];
  for (let layer = 0; layer < layers; layer++) {
    for (let head = 0; head < heads; head++) found.push({ spot: `h.${layer}.attn.mixed`, axes: { head } });
    found.push({ spot: "", axes: {} }, { spot: `h.${layer}.mlp.out`, axes: {} });
  }
  return found.map((place, number) => ({ number, ...place })).filter(({ spot }) => spot);
}

/**
 * The parts of a state at one position, and that state; the state is that after so many layers.
 * @param {Bloom} model @param {Run} trace @param {number} at @param {number} [layers]
 */
export function streamParts(model, trace, at, layers = model.config.n_layer) {
  const { n_head: heads, hidden_size: width, apply_residual_connection_post_layernorm: replaces } = model.config;
  if (replaces) throw new InputError("this model's stream is not a sum: apply_residual_connection_post_layernorm=True puts a layer norm in its place before each addition, so there is no receipt; lens.logit_lens reads its states");
  const vector = (/** @type {string} */ spot) => Float64Array.from(trace.read(spot).data.subarray(at * width, (at + 1) * width));
  const size = width / heads;
  const parts = [vector("embed")];
  for (let layer = 0; layer < layers; layer++) {
    const weight = model.transformer.h[layer].self_attention.dense.weight.data;
    const { data: mixed, shape } = trace.read(`h.${layer}.attn.mixed`);
    const rest = vector(`h.${layer}.attn.out`);
    for (let head = 0; head < heads; head++) {
      const from = (head * shape[2] + at) * size;
      const part = new Float64Array(width);
      for (let o = 0; o < width; o++) {
        let sum = 0;
        for (let i = 0; i < size; i++) sum += weight[o * width + head * size + i] * mixed[from + i];
        part[o] = sum;
        rest[o] -= sum;
      }
      parts.push(part);
    }
    parts.push(rest, vector(`h.${layer}.mlp.out`));
  }
  return { parts, last: vector(layers ? `h.${layers - 1}.resid_post` : "embed") };
}

/** What a layer norm divides by. @param {Float64Array} vector @param {number} epsilon */
export function sigmaOf(vector, epsilon) {
  const middle = mean(vector);
  return Math.sqrt(vector.reduce((sum, value) => sum + (value - middle) ** 2, 0) / vector.length + epsilon);
}

/** (vector − its mean) · scaled / σ @param {Float64Array} vector @param {Float64Array} scaled @param {number} sigma */
function lineOf(vector, scaled, sigma) {
  const middle = mean(vector);
  let sum = 0;
  for (let i = 0; i < vector.length; i++) sum += (vector[i] - middle) * scaled[i];
  return sum / sigma;
}

const means = /** @type {WeakMap<Bloom, Float64Array>} */ (new WeakMap()); // the mean row of a vocabulary

/** The row of a token minus what it is measured by. @param {Bloom} model @param {number} token @param {Versus} versus */
function directionOf(model, token, versus) {
  const { data, shape: [count, width] } = (model.lm_head ?? model.transformer.word_embeddings).weight;
  const row = Float64Array.from(data.subarray(token * width, (token + 1) * width));
  if (versus === null) return row;
  let other = /** @type {ArrayLike<number> | undefined} */ (versus === "mean" ? means.get(model) : data.subarray(versus * width, (versus + 1) * width));
  if (!other) {
    const sum = new Float64Array(width);
    for (let i = 0; i < data.length; i++) sum[i % width] += data[i];
    other = sum.map((value) => value / count);
    means.set(model, /** @type {Float64Array} */ (other));
  }
  return row.map((value, i) => value - /** @type {ArrayLike<number>} */ (other)[i]);
}

/** What the last norm's weight makes of that direction. @param {Bloom} model @param {number} token @param {Versus} versus */
function scaledBy(model, token, versus) {
  const { weight } = model.transformer.ln_f;
  return directionOf(model, token, versus).map((value, i) => value * weight.data[i]);
}

/** What the head says at a position. @param {Bloom} model @param {Run} trace @param {number} at @returns {Float32Array} */
export function saidAfter(model, trace, at) {
  const { n_layer: layers, hidden_size: width, layer_norm_epsilon: epsilon } = model.config;
  const state = trace.read(`h.${layers - 1}.resid_post`).data.subarray(at * width, (at + 1) * width);
  return scoresOf(model, layerNorm({ data: state, shape: [1, width] }, model.transformer.ln_f, epsilon)).data;
}

/** How far a token's logit is above what it is measured by. @param {Float32Array} logits @param {number} token @param {Versus} versus */
export function leadOf(logits, token, versus) {
  return logits[token] - (versus === null ? 0 : versus === "mean" ? mean(logits) : logits[versus]);
}

/** @param {Bloom} model @param {Run} trace @param {number} token @param {Versus} versus @param {number} at @returns {Receipt} */
export function receiptOf(model, trace, token, versus, at) {
  const { n_layer: layers, n_head: heads, layer_norm_epsilon: epsilon } = model.config;
  const { parts, last } = streamParts(model, trace, at);
  const direction = directionOf(model, token, versus);
  const scaled = scaledBy(model, token, versus);
  const sigma = sigmaOf(last, epsilon);
  const whole = lineOf(last, scaled, sigma);
  const lines = parts.map((part) => lineOf(part, scaled, sigma));
  const adapted = parts.map((part) => {
    const left = last.map((value, i) => value - part[i]);
    return whole - lineOf(left, scaled, sigmaOf(left, epsilon));
  });
  const biases = [dot(model.transformer.ln_f.bias.data, direction), 0];
  const direct = [...lines, ...biases];
  const difference = leadOf(saidAfter(model, trace, at), token, versus);
  return {
    names: [...partNames(layers, heads), "norm bias", "head bias"],
    direct: Float32Array.from(direct),
    adapted: Float32Array.from([...adapted, ...biases]),
    difference,
    error: Math.abs(direct.reduce((sum, line) => sum + line, 0) - difference),
    total: null,
    moved: null,
  };
}

/**
 * The same run with other edits from a layer on; what stands below is taken as it was read.
 * @param {Bloom} model @param {Run} trace @param {string} spot the first that is changed @param {Record<string, import("../model/edits.js").NamedEdit[]>} edit all edits
 * @param {string[]} read
 * @returns {Run}
 */
export function rerun(model, trace, spot, edit, read) {
  const layers = model.config.n_layer;
  const hooks = makeHooks({ read: read.flatMap((name) => resolve(name, layers)), edit: bySpot(edit, layers) });
  const first = spot === "embed" ? 0 : Number(spot.split(".")[1]);
  if (first === 0) bloom(model, trace.ids, { hooks });
  else {
    hooks.start(0);
    onwards(model, trace.read(`h.${first - 1}.resid_post`), { first, hooks });
  }
  return { ids: trace.ids, config: trace.config, read: (name) => hooks.readings.get(name) ?? trace.read(name) };
}

/**
 * Measure `total` and `moved`, a part each step: how many are done, and the receipt so far.
 * @param {Bloom} model @param {Run} trace @param {Receipt} found @param {number} token @param {Versus} versus @param {number} at
 * @param {(place: Place) => Record<string, import("../model/edits.js").NamedEdit[]>} edited the edits with something in the place of a part
 * @returns {Generator<[number, Receipt]>}
 */
export function* totalEffects(model, trace, found, token, versus, at, edited) {
  const { n_layer: layers, n_head: heads, layer_norm_epsilon: epsilon } = model.config;
  const scaled = scaledBy(model, token, versus);
  const { parts: whole, last } = streamParts(model, trace, at);
  const sigma = sigmaOf(last, epsilon);
  const before = whole.map((part) => lineOf(part, scaled, sigma));
  const all = before.reduce((sum, line) => sum + line, 0);
  const total = new Float32Array(found.direct.length);
  const moved = Array.from(found.direct, () => new Float32Array(found.direct.length));
  const places = placesOfParts(layers, heads);
  for (const { number } of places) total[number] = NaN;
  for (const [done, place] of places.entries()) {
    const { parts: after, last: lastAfter } = streamParts(model, rerun(model, trace, place.spot, edited(place), RECEIPT_READ), at);
    const own = sigmaOf(lastAfter, epsilon);
    total[place.number] = all - after.reduce((sum, part) => sum + lineOf(part, scaled, own), 0);
    after.forEach((part, i) => (moved[place.number][i] = lineOf(part, scaled, sigma) - before[i]));
    yield [done + 1, { ...found, total: total.slice(), moved }];
  }
}

/** The later part whose line changes most when this one is replaced, and by how much; null if none does. @param {Receipt} found @param {number} part @returns {[number, number] | null} */
export function byWhom({ moved }, part) {
  if (!moved) return null;
  const changes = moved[part].slice();
  changes[part] = 0;
  const [most] = topOf(changes.map(Math.abs), 1);
  return changes[most] ? [most, changes[most]] : null;
}

/**
 * The line of one MLP as its neurons, which sum to it; or what it would lose without each part that it reads.
 * @param {Bloom} model @param {Run} trace that has read mlp.post @param {"neurons" | "without"} kind @param {number} layer
 * @param {number} token @param {Versus} versus @param {number} at
 */
export function openedMlp(model, trace, kind, layer, token, versus, at) {
  const { n_layer: layers, n_head: heads, hidden_size: width, layer_norm_epsilon: epsilon } = model.config;
  if (!(Number.isInteger(layer) && layer >= 0 && layer < layers)) throw new InputError(`layer must be a whole number from 0 to ${layers - 1}, but got ${layer}`);
  const sigma = sigmaOf(streamParts(model, trace, at).last, epsilon);
  const scaled = scaledBy(model, token, versus);
  const middle = mean(scaled);
  const held = scaled.map((value) => (value - middle) / sigma);
  const line = dot(trace.read(`h.${layer}.mlp.out`).data.subarray(at * width, (at + 1) * width), held);
  const { mlp, post_attention_layernorm: norm } = model.transformer.h[layer];
  if (kind === "neurons") {
    const { data } = mlp.dense_4h_to_h.weight;
    const post = trace.read(`h.${layer}.mlp.post`).data.subarray(at * 4 * width, (at + 1) * 4 * width);
    const values = Float32Array.from([...post].map((value, neuron) => {
      let sum = 0;
      for (let o = 0; o < width; o++) sum += held[o] * data[o * 4 * width + neuron];
      return value * sum;
    }).concat(dot(held, mlp.dense_4h_to_h.bias.data)));
    return { names: [...Array.from(post, (_, neuron) => `neuron ${neuron}`), "bias"], values, line };
  }
  const { parts } = streamParts(model, trace, at, layer + 1);
  parts.pop(); // all but the MLP itself: what it reads is their sum
  const sum = parts.reduce((sum, part) => sum.map((value, i) => value + part[i]), new Float64Array(width));
  const states = [sum, ...parts.map((part) => sum.map((value, i) => value - part[i]))];
  const data = new Float32Array(states.length * width);
  states.forEach((state, row) => data.set(state, row * width));
  const normed = layerNorm({ data, shape: [states.length, width] }, norm, epsilon);
  const out = linear(gelu(linear(normed, mlp.dense_h_to_4h.weight, mlp.dense_h_to_4h.bias)), mlp.dense_4h_to_h.weight, mlp.dense_4h_to_h.bias);
  const lines = states.map((_, row) => dot(out.data.subarray(row * width, (row + 1) * width), held));
  return { names: partNames(layer + 1, heads).slice(0, -1), values: Float32Array.from(lines.slice(1), (one) => lines[0] - one), line };
}
