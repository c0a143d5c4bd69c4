// @ts-check
// Patterns of attention made from a head's numbers, and what two of them share. The same as bloomlab.lens.attention.
// Of every pattern only the causal half is there (key ≤ query), row by row; a row sums to 1.
import { cellCount, cellNumber } from "../lib/causal.js";

/**
 * The softmax of each row of the causal half.
 * @param {number} tokens
 * @param {(cell: number, query: number, key: number) => number} total what stands in the exponent
 */
function softmaxed(tokens, total) {
  const pattern = new Float64Array(cellCount(tokens));
  for (let query = 0, row = 0; query < tokens; query++, row += query) {
    let most = -Infinity;
    for (let key = 0; key <= query; key++) {
      pattern[row + key] = total(row + key, query, key);
      most = Math.max(most, pattern[row + key]);
    }
    let sum = 0;
    for (let key = 0; key <= query; key++) sum += pattern[row + key] = Math.exp(pattern[row + key] - most);
    for (let key = 0; key <= query; key++) pattern[row + key] /= sum;
  }
  return pattern;
}

/**
 * What ALiBi alone would make, with no content at all.
 * @param {number} slope
 * @param {number} tokens
 */
export function positionOnly(slope, tokens) {
  return softmaxed(tokens, (_, query, key) => slope * (key - query));
}

/**
 * What content alone would make, with no sense of position.
 * @param {ArrayLike<number>} scores q·k/√d, the causal half
 * @param {number} tokens
 */
export function contentOnly(scores, tokens) {
  return softmaxed(tokens, (cell) => scores[cell]);
}

/**
 * How much of their attention two patterns put on the same keys, 0 to 1: the mean over queries of Σ min. The first
 * query has one key to look at, so it says nothing and is left out.
 * @param {ArrayLike<number>} pattern
 * @param {ArrayLike<number>} other
 * @param {number} tokens
 */
export function overlap(pattern, other, tokens) {
  let shared = 0;
  for (let cell = tokens > 1 ? 1 : 0; cell < cellCount(tokens); cell++) shared += Math.min(pattern[cell], other[cell]);
  return shared / Math.max(1, tokens - 1);
}

/**
 * The strongest links of a pattern between different tokens, the strongest first.
 * @param {ArrayLike<number>} pattern
 * @param {number} first the first token to count, and one after the last
 * @param {number} end
 * @param {number} count
 * @returns {{query: number, key: number, weight: number}[]}
 */
export function strongestLinks(pattern, first, end, count) {
  const links = [];
  for (let query = first; query < end; query++) {
    for (let key = first; key < query; key++) {
      const weight = pattern[cellNumber(query, key)];
      if (weight > 0) links.push({ query, key, weight });
    }
  }
  return links.sort((a, b) => b.weight - a.weight).slice(0, count);
}

/**
 * One row with ALiBi as BLOOM was trained (slope × key), and as the paper has it (slope × distance): the biases differ
 * by slope × query for every key, and the softmax takes that away.
 * @param {ArrayLike<number>} scores q·k/√d, the causal half
 * @param {number} slope
 * @param {number} query
 */
export function bothForms(scores, slope, query) {
  const row = cellNumber(query, 0);
  const keys = Array.from({ length: query + 1 }, (_, key) => key);
  const trained = keys.map((key) => slope * key);
  const paper = keys.map((key) => slope * (key - query) || 0);
  const [a, b] = [trained, paper].map((bias) => {
    const totals = keys.map((key) => scores[row + key] + bias[key]);
    const most = Math.max(...totals);
    const weights = totals.map((total) => Math.exp(total - most));
    const sum = weights.reduce((all, weight) => all + weight, 0);
    return weights.map((weight) => weight / sum);
  });
  return { trained, paper, probs: { trained: a, paper: b }, error: Math.max(...keys.map((key) => Math.abs(a[key] - b[key]))) };
}
