// @ts-check
// Lenses turn traces into numbers, each as its Python twin in bloomlab/lens/ does: predictions read out of states, who
// added what, maps of the tokens, patterns of attention. What a panel's picture works out by itself is not here.
import { readOut } from "../model/causal_lm.js";
import { logSoftmax } from "../model/nn.js";

/**
 * @typedef {import("../model/trace.js").Trace} Trace
 * @typedef {import("../model/nn.js").Tensor} Tensor
 * @typedef {import("../model/weights.js").Bloom} Bloom
 */

/** The first text's matrix of one head: (query, key) as a run of numbers. @param {Trace} trace @param {string} name @param {number} layer @param {number} head */
export function matrixOf(trace, name, layer, head) {
  const { data, shape } = trace.read(`h.${layer}.attn.${name}`);
  const size = shape[2] * shape[3];
  return data.subarray(head * size, (head + 1) * size);
}

/** The causal half, key ≤ query, row by row. @param {ArrayLike<number>} matrix @param {number} tokens */
export function causalHalf(matrix, tokens) {
  const cells = new Float32Array((tokens * (tokens + 1)) / 2);
  for (let query = 0, cell = 0; query < tokens; query++) for (let key = 0; key <= query; key++) cells[cell++] = matrix[query * tokens + key];
  return cells;
}

/** The largest `count` of a row, the largest first, by their places. @param {ArrayLike<number>} row @param {number} count */
export function topOf(row, count) {
  const best = /** @type {number[]} */ ([]);
  for (let i = 0; i < row.length; i++) {
    if (best.length === count && !(row[i] > row[best[count - 1]])) continue;
    let at = best.length;
    while (at > 0 && row[i] > row[best[at - 1]]) at -= 1;
    best.splice(at, 0, i);
    if (best.length > count) best.pop();
  }
  return best;
}

/** Softmax over the keys up to each query, in double precision: scores (query, key) -> the same. @param {ArrayLike<number>} scores @param {number} tokens */
function softmaxRows(scores, tokens) {
  const probs = new Float32Array(tokens * tokens);
  for (let query = 0; query < tokens; query++) {
    const first = query * tokens;
    let most = -Infinity;
    for (let key = 0; key <= query; key++) most = Math.max(most, scores[first + key]);
    let sum = 0;
    for (let key = 0; key <= query; key++) sum += Math.exp(scores[first + key] - most);
    for (let key = 0; key <= query; key++) probs[first + key] = Math.exp(scores[first + key] - most) / sum;
  }
  return probs;
}

/** The pattern without ALiBi. @param {ArrayLike<number>} scores @param {number} tokens */
export const contentOnly = softmaxRows;

/** The pattern that ALiBi alone makes. @param {number} slope @param {number} tokens */
export function positionOnly(slope, tokens) {
  const bias = new Float64Array(tokens * tokens);
  for (let query = 0; query < tokens; query++) for (let key = 0; key <= query; key++) bias[query * tokens + key] = -slope * (query - key);
  return softmaxRows(bias, tokens);
}

/** How much two patterns have in common, 0 to 1; the first query has one key only, so it says nothing. @param {ArrayLike<number>} one @param {ArrayLike<number>} other @param {number} tokens */
export function overlap(one, other, tokens) {
  const first = tokens > 1 ? 1 : 0;
  let sum = 0;
  for (let i = first * tokens; i < tokens * tokens; i++) sum += Math.min(one[i], other[i]);
  return sum / (tokens - first);
}

/** How far back a head looks on average, in tokens. @param {ArrayLike<number>} probs @param {number} tokens */
export function meanDistance(probs, tokens) {
  let sum = 0;
  for (let query = 0; query < tokens; query++) for (let key = 0; key <= query; key++) sum += probs[query * tokens + key] * (query - key);
  return sum / tokens;
}

/** The mean pattern of each layer's heads. @param {Trace} trace @returns {Float64Array[]} a layer each, (query, key) */
export function headAverage(trace) {
  const { n_layer: layers, n_head: heads } = trace.config;
  const tokens = trace.ids.length;
  return Array.from({ length: layers }, (_, layer) => {
    const mean = new Float64Array(tokens * tokens);
    for (let head = 0; head < heads; head++) matrixOf(trace, "probs", layer, head).forEach((value, i) => (mean[i] += value / heads));
    return mean;
  });
}

/** A = ½ · identity + ½ · mean over heads; rollout[layer] = A[layer] · rollout[layer - 1]. @param {Float64Array[]} means @param {number} tokens */
export function rollout(means, tokens) {
  const flows = /** @type {Float64Array[]} */ ([]);
  for (const mean of means) {
    const step = mean.map((value, i) => (value + (Math.floor(i / tokens) === i % tokens ? 1 : 0)) / 2);
    const before = flows.at(-1);
    flows.push(before ? times(step, before, tokens) : step);
  }
  return flows;
}

/** @param {Float64Array} one @param {Float64Array} other @param {number} size */
function times(one, other, size) {
  const out = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    for (let i = 0; i < size; i++) {
      const weight = one[row * size + i];
      if (weight) for (let column = 0; column < size; column++) out[row * size + column] += weight * other[i * size + column];
    }
  }
  return out;
}

// ---- the residual stream ----

/** Its states, in the order of the model: the embedding, then two of each layer. @param {Trace} trace @returns {[string, Tensor][]} */
export function stream(trace) {
  const layers = Array.from({ length: trace.config.n_layer }, (_, layer) => layer);
  return [["embed", trace.read("embed")], ...layers.flatMap((layer) => /** @type {[string, Tensor][]} */ ([[`${layer} mid`, trace.read(`h.${layer}.resid_mid`)], [`${layer} post`, trace.read(`h.${layer}.resid_post`)]]))];
}

/** A token's vector in a state. @param {Tensor} state @param {number} token */
export function vectorOf(state, token) {
  const width = /** @type {number} */ (state.shape.at(-1));
  return state.data.subarray(token * width, (token + 1) * width);
}

/** @param {ArrayLike<number>} one @param {ArrayLike<number>} other */
export function dot(one, other) {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += one[i] * other[i];
  return sum;
}

/** @param {ArrayLike<number>} values */
export function mean(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/** How much each part added, and its share of the last state: a list of parts, a number a token each. @param {Trace} trace */
export function shares(trace) {
  const layers = trace.config.n_layer;
  const parts = [trace.read("embed"), ...Array.from({ length: layers }, (_, layer) => [trace.read(`h.${layer}.attn.out`), trace.read(`h.${layer}.mlp.out`)]).flat()];
  const last = trace.read(`h.${layers - 1}.resid_post`);
  const width = trace.config.hidden_size;
  const rows = parts.map((part) => trace.ids.map((_, token) => vectorOf(part, token)));
  const rest = trace.ids.map((_, token) => {
    const total = Float64Array.from(vectorOf(last, token));
    for (const part of parts) for (let i = 0; i < width; i++) total[i] -= part.data[token * width + i];
    return total;
  });
  const all = /** @type {(Float32Array | Float64Array)[][]} */ ([...rows, rest]);
  return all.map((part) => part.map((vector, token) => ({ norm: Math.sqrt(dot(vector, vector)), share: dot(vector, vectorOf(last, token)) / dot(vectorOf(last, token), vectorOf(last, token)) })));
}

const AXES = 2;
const WIDER = 6; // directions that are followed for two, since they are then found sooner
const MOST_STEPS = 300;
const SETTLED = 1e-13; // of the largest size

/**
 * The map on which a state's vectors lie farthest apart: principal components, by orthogonal iteration on the matrix of
 * products between tokens. Each direction's largest entry is positive.
 * @param {Tensor} state @param {number} tokens
 */
export function pca(state, tokens) {
  const width = /** @type {number} */ (state.shape.at(-1));
  const mean = new Float64Array(width);
  for (let i = 0; i < state.data.length; i++) mean[i % width] += state.data[i] / tokens;
  const centred = new Float64Array(state.data.length);
  for (let i = 0; i < centred.length; i++) centred[i] = state.data[i] - mean[i % width];
  const rows = Array.from({ length: tokens }, (_, token) => centred.subarray(token * width, (token + 1) * width));
  const gram = rows.map((row) => imageOf(rows, row)); // each with each
  const variance = gram.reduce((sum, row, token) => sum + row[token], 0);
  const count = Math.min(WIDER, tokens);
  let found = /** @type {Float64Array[]} */ (Array.from({ length: count }, (_, axis) => Float64Array.from({ length: tokens }, (_, token) => Math.sin((axis + 1) * (token + 1) * 1.7) + 1e-3))); // any beginning will do
  let sizes = found.map(() => 0);
  for (let step = 0; step < MOST_STEPS && variance > 0; step++) {
    for (let again = 0; again < 3; again++) found = found.map((vector) => imageOf(gram, vector));
    found = orthonormal(found);
    const [next, values] = rotated(found, gram);
    const settled = values.slice(0, AXES).every((value, axis) => Math.abs(value - sizes[axis]) <= SETTLED * values[0]);
    [found, sizes] = [next, values];
    if (settled && step > 4) break;
  }
  const points = new Float32Array(tokens * AXES);
  const explained = [0, 0];
  for (let axis = 0; axis < Math.min(AXES, count, width) && variance > 0; axis++) {
    const size = Math.max(0, sizes[axis]);
    explained[axis] = size / variance;
    const direction = new Float64Array(width);
    for (let i = 0; i < centred.length; i++) direction[i % width] += found[axis][Math.floor(i / width)] * centred[i];
    const largest = direction.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    const length = Math.sqrt(dot(direction, direction));
    if (size > 1e-24 * variance && length > 0) rows.forEach((row, token) => (points[token * AXES + axis] = (dot(row, direction) / length) * Math.sign(largest)));
  }
  return { points, explained };
}

/** @param {Float64Array[]} matrix @param {Float64Array} vector */
function imageOf(matrix, vector) {
  const image = new Float64Array(matrix.length);
  for (let i = 0; i < image.length; i++) {
    const row = matrix[i];
    let sum = 0;
    for (let j = 0; j < row.length; j++) sum += row[j] * vector[j]; // not `dot`, which takes numbers of any kind and is slower for it
    image[i] = sum;
  }
  return image;
}

/** Gram and Schmidt. @param {Float64Array[]} vectors */
function orthonormal(vectors) {
  const done = /** @type {Float64Array[]} */ ([]);
  for (const vector of vectors) {
    const own = vector.slice();
    for (let again = 0; again < 2; again++) {
      for (const other of done) {
        const along = dot(own, other);
        for (let i = 0; i < own.length; i++) own[i] -= along * other[i];
      }
    }
    const length = Math.sqrt(dot(own, own));
    done.push(length > 1e-150 ? own.map((value) => value / length) : own.fill(0));
  }
  return done;
}

/** Turned inside their own span so that each is an eigenvector there (Jacobi), the largest first. @param {Float64Array[]} basis @param {Float64Array[]} gram @returns {[Float64Array[], number[]]} */
function rotated(basis, gram) {
  const n = basis.length;
  const images = basis.map((vector) => imageOf(gram, vector));
  const small = basis.map((one) => images.map((other) => dot(one, other)));
  const turns = small.map((_, i) => small.map((_, j) => Number(i === j)));
  for (let sweep = 0, turned = true; sweep < 12 && turned; sweep++) {
    turned = false;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (Math.abs(small[p][q]) <= 1e-17 * Math.sqrt(Math.abs(small[p][p] * small[q][q])) + 1e-300) continue; // it stands there already
        turned = true;
        const theta = (small[q][q] - small[p][p]) / (2 * small[p][q]);
        const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const [c, s] = [1 / Math.sqrt(t * t + 1), t / Math.sqrt(t * t + 1)];
        turnColumns(small, p, q, c, s);
        for (let k = 0; k < n; k++) {
          const [one, other] = [small[p][k], small[q][k]];
          small[p][k] = c * one - s * other;
          small[q][k] = s * one + c * other;
        }
        turnColumns(turns, p, q, c, s);
      }
    }
  }
  const order = small.map((_, i) => i).sort((one, other) => small[other][other] - small[one][one]);
  const vectors = order.map((column) => {
    const vector = new Float64Array(basis[0].length);
    basis.forEach((part, row) => part.forEach((value, i) => (vector[i] += turns[row][column] * value)));
    return vector;
  });
  return [vectors, order.map((i) => small[i][i])];
}

/** @param {number[][]} rows @param {number} p @param {number} q two columns @param {number} c the cosine of the turn @param {number} s its sine */
function turnColumns(rows, p, q, c, s) {
  for (const row of rows) {
    const [one, other] = [row[p], row[q]];
    row[p] = c * one - s * other;
    row[q] = s * one + c * other;
  }
}

// ---- predictions ----

/** Some tokens of a state, one after the other. @param {Tensor} state @param {number[]} tokens @returns {Tensor} */
function part(state, tokens) {
  const width = /** @type {number} */ (state.shape.at(-1));
  const data = new Float32Array(tokens.length * width);
  tokens.forEach((token, i) => data.set(vectorOf(state, token), i * width));
  return { data, shape: [tokens.length, width] };
}

/** So many tokens from one on. @param {number} first @param {number} count */
export const tokensFrom = (first, count) => Array.from({ length: count }, (_, i) => first + i);

const rooms = /** @type {Float32Array[]} */ ([]); // for scores that are looked at and forgotten: they are large, and a phone is slow to clear them away

/**
 * The scores of every word at some tokens, read out of a state as if it were the last: `row(i)` is those of the i-th.
 * @param {Bloom} model @param {Tensor} state @param {number[]} tokens
 * @param {number} [place] of several that are looked at together, which: the scores stay until the next of this place
 */
export function saidAt(model, state, tokens, place = 0) {
  const vocab = model.config.vocab_size;
  if (!(rooms[place]?.length >= tokens.length * vocab)) rooms[place] = new Float32Array(tokens.length * vocab);
  const { data } = readOut(model, part(state, tokens), rooms[place]);
  const logs = new Float64Array(vocab);
  return {
    row: (/** @type {number} */ i) => data.subarray(i * vocab, (i + 1) * vocab),
    /** log p of every word; of the next row it is the same array again. @param {number} i */
    logs: (i) => logSoftmax(data, i * vocab, vocab, logs),
  };
}

/**
 * What a row of scores says: the likeliest words, how unsure it is (nats), and of the word that follows, if one does, its
 * rank, 1 for the likeliest, and its surprise.
 * @param {Float32Array} scores @param {number} top @param {number | undefined} follows
 */
export function summary(scores, top, follows) {
  const ids = topOf(scores, top);
  const most = scores[ids[0]];
  let [sum, weighted] = [0, 0];
  for (let i = 0; i < scores.length; i++) {
    const weight = Math.exp(scores[i] - most);
    sum += weight;
    weighted += weight * scores[i];
  }
  const whole = most + Math.log(sum);
  let rank = 0;
  if (follows !== undefined) {
    rank = 1;
    for (let i = 0; i < scores.length; i++) if (scores[i] > scores[follows]) rank += 1;
  }
  return { ids, probs: ids.map((id) => Math.exp(scores[id] - whole)), entropy: whole - weighted / sum, rank, surprise: follows === undefined ? NaN : whole - scores[follows] };
}

/** How far a second prediction is from a first, in nats. @param {Float64Array} before @param {Float64Array} after */
export function kl(before, after) {
  let sum = 0;
  for (let i = 0; i < before.length; i++) if (before[i] > -Infinity) sum += Math.exp(before[i]) * (before[i] - after[i]);
  return sum;
}

/** How unexpected each token was, in nats, from the last state; NaN for the first. @param {Bloom} model @param {Trace} trace */
export function surprise(model, trace) {
  const said = saidAt(model, trace.read(`h.${trace.config.n_layer - 1}.resid_post`), tokensFrom(0, trace.ids.length));
  return Float32Array.from(trace.ids, (id, token) => (token ? -said.logs(token - 1)[id] : NaN));
}
