// @ts-check
// What torch.nn is for the Python: matrices times vectors, layer norm, softmax, GELU. Tensors are plain objects; sums
// are taken in double precision and kept in single, so the last digit can differ from torch's.
import { productWith } from "./simd.js";

/**
 * @typedef {{data: Float32Array, shape: number[]}} Tensor numbers, the last axis first
 * @typedef {{weight: Tensor, bias: Tensor}} Layer a linear map, or a layer norm
 */

/** @param {number[]} shape @returns {Tensor} */
export function zeros(...shape) {
  return { data: new Float32Array(shape.reduce((product, size) => product * size, 1)), shape };
}

/**
 * x · weightᵀ + bias: (…, in) -> (…, out).
 * @param {Tensor} x @param {Tensor} weight (out, in) @param {Tensor | null} [bias] (out) @param {Float32Array} [room] what
 *   the numbers are written into, in place of an array of their own
 * @returns {Tensor}
 */
export function linear(x, weight, bias = null, room) {
  const [width, wide] = weight.shape;
  const rows = x.data.length / wide;
  const shape = [...x.shape.slice(0, -1), width];
  const out = room ? { data: room.subarray(0, rows * width), shape } : zeros(...shape);
  const ys = out.data;
  (productWith(weight) ?? product)(x.data, weight, ys);
  if (bias) for (let at = 0; at < ys.length; at++) ys[at] += bias.data[at % width];
  return out;
}

/**
 * x · weightᵀ, into ys. Four rows and two columns at a time, so that what is fetched serves eight sums; the four rows
 * stand side by side in double precision, so that nothing is converted twice.
 * @param {Float32Array} xs @param {Tensor} weight (out, in) @param {Float32Array} ys
 */
function product(xs, weight, ys) {
  const [width, wide] = weight.shape;
  const ws = weight.data;
  const rows = xs.length / wide;
  const [wholeRows, wholeColumns] = [rows - (rows % 4), width - (width % 2)];
  const four = new Float64Array(4 * wide);
  for (let row = 0; row < wholeRows; row += 4) {
    for (let i = 0; i < wide; i++) for (let k = 0; k < 4; k++) four[4 * i + k] = xs[(row + k) * wide + i];
    for (let o = 0; o < wholeColumns; o += 2) {
      const [w0, w1] = [o * wide, (o + 1) * wide];
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      for (let i = 0, j = 0; i < wide; i++, j += 4) {
        const a = ws[w0 + i];
        const b = ws[w1 + i];
        const p = four[j];
        const q = four[j + 1];
        const r = four[j + 2];
        const s = four[j + 3];
        a0 += a * p;
        a1 += a * q;
        a2 += a * r;
        a3 += a * s;
        b0 += b * p;
        b1 += b * q;
        b2 += b * r;
        b3 += b * s;
      }
      const at = row * width + o;
      ys[at] = a0;
      ys[at + 1] = b0;
      ys[at + width] = a1;
      ys[at + width + 1] = b1;
      ys[at + 2 * width] = a2;
      ys[at + 2 * width + 1] = b2;
      ys[at + 3 * width] = a3;
      ys[at + 3 * width + 1] = b3;
    }
  }
  for (let row = 0; row < rows; row++) { // what is left over
    for (let o = row < wholeRows ? wholeColumns : 0; o < width; o++) {
      let sum = 0;
      for (let i = 0; i < wide; i++) sum += ws[o * wide + i] * xs[row * wide + i];
      ys[row * width + o] = sum;
    }
  }
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
  const [xs, ys] = [x.data, out.data];
  for (let i = 0; i < xs.length; i++) {
    const value = xs[i];
    ys[i] = (value / 2) * (1 + Math.tanh(slope * (value + 0.044715 * value * value * value))); // a power takes much longer
  }
  return out;
}

/** Whether there is a number everywhere, neither NaN nor infinite: times 0 only such a one is 0. @param {Float32Array} data */
export function allFinite(data) {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += 0 * data[i];
  return sum === 0;
}

/** @param {Float32Array} data */
export function someNaN(data) {
  for (let i = 0; i < data.length; i++) if (data[i] !== data[i]) return true; // nothing else differs from itself
  return false;
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
 * @param {Float64Array} [out] where to write them
 */
export function logSoftmax(scores, first = 0, count = scores.length, out = new Float64Array(count)) {
  let most = -Infinity;
  for (let i = first; i < first + count; i++) if (scores[i] > most) most = scores[i];
  let sum = 0;
  for (let i = first; i < first + count; i++) sum += Math.exp(scores[i] - most);
  const whole = most + Math.log(sum);
  for (let i = 0; i < count; i++) out[i] = scores[first + i] - whole;
  return out;
}
