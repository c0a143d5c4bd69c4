// @ts-check
// What torch.nn is for the Python: matrices times vectors, layer norm, softmax, GELU. Tensors are plain objects; sums
// are taken in double precision and kept in single, so the last digit can differ from torch's.

/**
 * @typedef {{data: Float32Array, shape: number[]}} Tensor numbers, the last axis first
 * @typedef {{weight: Tensor, bias: Tensor}} Layer a linear map, or a layer norm
 */

/** @param {number[]} shape @returns {Tensor} */
export function zeros(...shape) {
  return { data: new Float32Array(shape.reduce((product, size) => product * size, 1)), shape };
}

/**
 * x · weightᵀ + bias: (…, in) -> (…, out). Four rows at a time, so that each weight is fetched once for four.
 * @param {Tensor} x @param {Tensor} weight (out, in) @param {Tensor | null} [bias] (out)
 * @returns {Tensor}
 */
export function linear(x, weight, bias = null) {
  const [width, wide] = weight.shape;
  const rows = x.data.length / wide;
  const out = zeros(...x.shape.slice(0, -1), width);
  const [xs, ws, ys] = [x.data, weight.data, out.data];
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    const [x0, x1, x2, x3] = [row * wide, (row + 1) * wide, (row + 2) * wide, (row + 3) * wide];
    for (let o = 0; o < width; o++) {
      const start = bias ? bias.data[o] : 0;
      let [a, b, c, d] = [start, start, start, start];
      for (let i = 0, w = o * wide; i < wide; i++, w++) {
        const weighs = ws[w];
        a += weighs * xs[x0 + i];
        b += weighs * xs[x1 + i];
        c += weighs * xs[x2 + i];
        d += weighs * xs[x3 + i];
      }
      ys[row * width + o] = a;
      ys[(row + 1) * width + o] = b;
      ys[(row + 2) * width + o] = c;
      ys[(row + 3) * width + o] = d;
    }
  }
  for (; row < rows; row++) {
    for (let o = 0; o < width; o++) {
      let sum = bias ? bias.data[o] : 0;
      for (let i = 0; i < wide; i++) sum += ws[o * wide + i] * xs[row * wide + i];
      ys[row * width + o] = sum;
    }
  }
  return out;
}

/**
 * Each vector less its mean, over its standard deviation, times weight, plus bias: (…, hidden) -> the same.
 * @param {Tensor} x @param {Layer} norm @param {number} epsilon
 * @returns {Tensor}
 */
export function layerNorm(x, norm, epsilon) {
  const width = norm.weight.shape[0];
  const out = zeros(...x.shape);
  for (let at = 0; at < x.data.length; at += width) {
    let mean = 0;
    for (let i = 0; i < width; i++) mean += x.data[at + i];
    mean /= width;
    let variance = 0;
    for (let i = 0; i < width; i++) variance += (x.data[at + i] - mean) ** 2;
    const scale = 1 / Math.sqrt(variance / width + epsilon);
    for (let i = 0; i < width; i++) out.data[at + i] = (x.data[at + i] - mean) * scale * norm.weight.data[i] + norm.bias.data[i];
  }
  return out;
}

/**
 * GELU in its tanh form: close to 0 for x < 0, close to x for x > 0.
 * @param {Tensor} x @returns {Tensor}
 */
export function gelu(x) {
  const out = zeros(...x.shape);
  const slope = Math.sqrt(2 / Math.PI);
  for (let i = 0; i < x.data.length; i++) {
    const value = x.data[i];
    out.data[i] = (value / 2) * (1 + Math.tanh(slope * (value + 0.044715 * value ** 3)));
  }
  return out;
}

/** @param {Tensor} x @param {Tensor} y @returns {Tensor} their sum, a new tensor */
export function add(x, y) {
  const out = zeros(...x.shape);
  for (let i = 0; i < x.data.length; i++) out.data[i] = x.data[i] + y.data[i];
  return out;
}

/**
 * log p of each word, in double precision, of one row of scores.
 * @param {Float32Array} scores @param {number} [first] where the row begins @param {number} [count] how many there are
 */
export function logSoftmax(scores, first = 0, count = scores.length) {
  let most = -Infinity;
  for (let i = first; i < first + count; i++) most = Math.max(most, scores[i]);
  let sum = 0;
  for (let i = first; i < first + count; i++) sum += Math.exp(scores[i] - most);
  const whole = most + Math.log(sum);
  const out = new Float64Array(count);
  for (let i = 0; i < count; i++) out[i] = scores[first + i] - whole;
  return out;
}
