// @ts-check
// The KV cache: keys and values of the columns already read, so that the next pass does not compute them again. It is
// never changed: each pass makes a new one from the old.
import { zeros } from "./nn.js";

/** @typedef {import("./attention.js").KeyValue} KeyValue */

/**
 * The keys and values so far, as a new pair; the past pair does not change.
 * @param {KeyValue | null} past @param {KeyValue} pair
 * @returns {KeyValue}
 */
export function extend(past, pair) {
  return past ? { k: joined(past.k, pair.k), v: joined(past.v, pair.v) } : pair;
}

/** @param {KeyValue[] | null} cache @returns {number} how many columns it holds */
export function columnsOf(cache) {
  return cache ? cache[0].k.shape[2] : 0;
}

/** (batch, head, key, head_dim) twice, one after the other along the keys. @param {import("./nn.js").Tensor} one @param {import("./nn.js").Tensor} other */
function joined(one, other) {
  const [, heads, first, size] = one.shape;
  const more = other.shape[2];
  const both = zeros(1, heads, first + more, size);
  for (let head = 0; head < heads; head++) {
    const at = head * (first + more) * size;
    both.data.set(one.data.subarray(head * first * size, (head + 1) * first * size), at);
    both.data.set(other.data.subarray(head * more * size, (head + 1) * more * size), at + first * size);
  }
  return both;
}

/**
 * Some columns of a cache, in memory of their own; null where that is none.
 * @param {KeyValue[]} cache @param {number[]} columns
 * @returns {KeyValue[] | null}
 */
export function someColumns(cache, columns) {
  if (!columns.length) return null;
  const part = (/** @type {import("./nn.js").Tensor} */ { data, shape: [, heads, all, size] }) => {
    const some = zeros(1, heads, columns.length, size);
    for (let head = 0; head < heads; head++) {
      columns.forEach((column, i) => {
        const from = (head * all + column) * size;
        some.data.set(data.subarray(from, from + size), (head * columns.length + i) * size);
      });
    }
    return some;
  };
  return cache.map(({ k, v }) => ({ k: part(k), v: part(v) }));
}

/** What an earlier pass has of the first columns, as if it had read no more. @param {KeyValue[]} cache @param {number} columns */
export const firstColumns = (cache, columns) => someColumns(cache, Array.from({ length: columns }, (_, i) => i));

/** Parts of one text's cache, one after the other. @param {KeyValue[][]} parts */
export function joinedCache(parts) {
  const layers = parts[0].map((_, layer) => parts.map((part) => part[layer]));
  const all = (/** @type {import("./nn.js").Tensor[]} */ tensors) => {
    const [, heads, , size] = tensors[0].shape;
    const columns = tensors.reduce((sum, { shape }) => sum + shape[2], 0);
    const whole = zeros(1, heads, columns, size);
    for (let head = 0, at = 0; head < heads; head++) {
      for (const { data, shape } of tensors) {
        const own = shape[2] * size;
        whole.data.set(data.subarray(head * own, (head + 1) * own), at);
        at += own;
      }
    }
    return whole;
  };
  return layers.map((pairs) => ({ k: all(pairs.map(({ k }) => k)), v: all(pairs.map(({ v }) => v)) }));
}
