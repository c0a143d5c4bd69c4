// @ts-check
// ALiBi: attention with linear biases, how BLOOM knows where a token stands. Every head adds a straight line to its
// scores, so that a key far back starts at a disadvantage:
//
//   biased[query, key] = scores[query, key] - slope · (query - key)
//
// Softmax does not notice a constant added to a whole row, so BLOOM adds slope · key instead.

/**
 * One slope for each head, from steep to flat: 2^(-8/n), and that as the ratio. Where n is no power of two: those of the
 * largest power of two below it, then every other slope of twice as many heads.
 * @param {number} heads
 */
export function slopes(heads) {
  const power = 2 ** Math.floor(Math.log2(heads));
  const base = 2 ** -(2 ** (3 - Math.log2(power)));
  const between = 2 ** -(2 ** (3 - Math.log2(2 * power)));
  return Array.from({ length: heads }, (_, head) => (head < power ? base ** (head + 1) : between ** (2 * (head - power) + 1)));
}

/**
 * What ALiBi adds to the scores: slope · position of the key, the same for every query: (batch, head, query, key).
 * @param {number} heads @param {number} queries @param {number} keys
 */
export function alibiBias(heads, queries, keys) {
  const data = new Float32Array(heads * queries * keys);
  slopes(heads).forEach((slope, head) => {
    for (let query = 0; query < queries; query++) {
      for (let key = 0; key < keys; key++) data[(head * queries + query) * keys + key] = Math.fround(slope) * key;
    }
  });
  return { data, shape: [1, heads, queries, keys] };
}
