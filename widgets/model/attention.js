// @ts-check
// Attention: every position gathers from the positions before it.
//
//   scores = q·k / sqrt(head_dim)          how well a query fits each key
//   biased = scores + slope · position     ALiBi: near keys start ahead
//   probs  = softmax(biased)               over the keys this query may see
//   mixed  = probs · v                     the values, averaged with these weights
//   out    = dense(heads side by side)     what is added to the residual stream
import { extend } from "./cache.js";
import { add, linear, zeros } from "./nn.js";

/**
 * @typedef {import("./nn.js").Tensor} Tensor
 * @typedef {{k: Tensor, v: Tensor}} KeyValue the keys and the values of one layer, (batch, head, key, head_dim) each
 */

/**
 * Cut the fused projection into q, k and v. BLOOM stores them interleaved: q, k, v of head 0, then of head 1, …
 * @param {Tensor} fused (batch, pos, 3 · hidden) @param {number} heads
 * @returns {Tensor[]} three times (batch, head, pos, head_dim)
 */
export function splitHeads(fused, heads) {
  const [, positions, wide] = fused.shape;
  const size = wide / (3 * heads);
  return [0, 1, 2].map((which) => {
    const part = zeros(1, heads, positions, size);
    for (let head = 0; head < heads; head++) {
      for (let pos = 0; pos < positions; pos++) {
        const from = pos * wide + (3 * head + which) * size;
        part.data.set(fused.data.subarray(from, from + size), (head * positions + pos) * size);
      }
    }
    return part;
  });
}

/** Heads side by side again: (batch, head, query, head_dim) -> (batch, query, hidden). @param {Tensor} mixed */
export function mergeHeads(mixed) {
  const [, heads, queries, size] = mixed.shape;
  const merged = zeros(1, queries, heads * size);
  for (let head = 0; head < heads; head++) {
    for (let query = 0; query < queries; query++) {
      const from = (head * queries + query) * size;
      merged.data.set(mixed.data.subarray(from, from + size), (query * heads + head) * size);
    }
  }
  return merged;
}

/** q·k / sqrt(head_dim): (batch, head, query, key). @param {Tensor} q @param {Tensor} k */
export function fit(q, k) {
  const [, heads, queries, size] = q.shape;
  const keys = k.shape[2];
  const scores = zeros(1, heads, queries, keys);
  const [qs, ks] = [q.data, k.data];
  const root = Math.sqrt(size);
  let at = 0;
  for (let head = 0; head < heads; head++) {
    for (let query = 0; query < queries; query++) {
      const own = (head * queries + query) * size;
      for (let key = 0; key < keys; key++) {
        const other = (head * keys + key) * size;
        let sum = 0;
        for (let i = 0; i < size; i++) sum += qs[own + i] * ks[other + i];
        scores.data[at++] = sum / root;
      }
    }
  }
  return scores;
}

/**
 * Softmax over the keys that a query may see, itself and those before it; the others get 0.
 * @param {Tensor} biased (batch, head, query, key)
 */
export function attend(biased) {
  const [, heads, queries, keys] = biased.shape;
  const probs = zeros(...biased.shape);
  for (let row = 0; row < heads * queries; row++) {
    const [first, seen] = [row * keys, keys - queries + (row % queries) + 1];
    let most = -Infinity;
    for (let key = 0; key < seen; key++) most = Math.max(most, biased.data[first + key]);
    let sum = 0;
    for (let key = 0; key < seen; key++) sum += probs.data[first + key] = Math.exp(biased.data[first + key] - most);
    for (let key = 0; key < seen; key++) probs.data[first + key] /= sum;
  }
  return probs;
}

/** probs · v: (batch, head, query, key), (batch, head, key, head_dim) -> (batch, head, query, head_dim). @param {Tensor} probs @param {Tensor} v */
export function mix(probs, v) {
  const [, heads, queries, keys] = probs.shape;
  const size = v.shape[3];
  const mixed = zeros(1, heads, queries, size);
  const [weights, values] = [probs.data, v.data];
  const sums = new Float64Array(size);
  for (let head = 0; head < heads; head++) {
    for (let query = 0; query < queries; query++) {
      sums.fill(0);
      for (let key = 0; key < keys; key++) {
        const weight = weights[(head * queries + query) * keys + key];
        if (weight === 0) continue;
        const from = (head * keys + key) * size;
        for (let i = 0; i < size; i++) sums[i] += weight * values[from + i];
      }
      mixed.data.set(sums, (head * queries + query) * size);
    }
  }
  return mixed;
}

/**
 * x (batch, pos, hidden) -> what to add to it (batch, pos, hidden), and the layer's new pair.
 * @param {Tensor} x @param {Tensor} bias (batch, head, query, key) @param {import("./weights.js").Attention} weights
 * @param {KeyValue | null} past @param {import("./hooks.js").Hooks} hooks
 * @returns {[Tensor, KeyValue]}
 */
export function attention(x, bias, weights, past, hooks) {
  let [q, k, v] = splitHeads(linear(x, weights.query_key_value.weight, weights.query_key_value.bias), bias.shape[1]);
  q = hooks("q", q, "batch head query head_dim");
  k = hooks("k", k, "batch head pos head_dim"); // before the cache: an edit applies once
  v = hooks("v", v, "batch head pos head_dim");
  const pair = extend(past, { k, v });

  const scores = hooks("scores", fit(q, pair.k), "batch head query key");
  const alibi = hooks("alibi", bias, "batch head query key");
  const biased = hooks("biased", add(scores, alibi), "batch head query key");
  const probs = hooks("probs", attend(biased), "batch head query key");
  const mixed = hooks("mixed", mix(probs, pair.v), "batch head query head_dim");

  const out = linear(mergeHeads(mixed), weights.dense.weight, weights.dense.bias);
  return [hooks("out", out, "batch pos hidden"), pair];
}
