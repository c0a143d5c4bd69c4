// @ts-check
// Several looks together: a block of the matrix, from the chosen cell to another corner, and what it sums to. A query
// has 1 to give; so a block of three queries is a part of 3.
//
// What tests can rely on:
//   [data-part="block"]   the sentence; data-sum, data-of: how much, of how much; hidden where one cell is chosen
import { cellNumber } from "../lib/causal.js";
import { make, quoted, set } from "../lib/dom.js";
import { fixed, signed } from "../lib/numbers.js";

/**
 * The block between two corners: the first and the last query, the first and the last key.
 * @param {{query: number, key: number}} cell @param {{query: number, key: number}} other @param {number} tokens
 */
export function blockOf(cell, other, tokens) {
  if (other.query < 0 || other.key < 0 || other.query >= tokens || other.key >= tokens) return null;
  if (other.query === cell.query && other.key === cell.key) return null;
  const [from, to] = [Math.min(cell.query, other.query), Math.max(cell.query, other.query)];
  return { queries: [from, to], keys: [Math.min(cell.key, other.key), Math.min(to, Math.max(cell.key, other.key))] };
}

/** @typedef {NonNullable<ReturnType<typeof blockOf>>} Block */

/**
 * What the cells of a block come to, in the order in which float64 adds them.
 * @param {ArrayLike<number>} pattern @param {Block} block
 */
export function blockSum(pattern, { queries, keys }) {
  let sum = 0;
  for (let query = queries[0]; query <= queries[1]; query++) {
    for (let key = keys[0]; key <= Math.min(keys[1], query); key++) sum += pattern[cellNumber(query, key)];
  }
  return sum;
}

export function lookBlock() {
  const element = make("p", { class: "bl-block-says", role: "status", "data-part": "block" });

  return {
    element,

    /**
     * @param {Block | null} block @param {ArrayLike<number> | null} pattern
     * @param {string[]} names @param {boolean} differs whether the numbers are changes
     */
    show(block, pattern, names, differs) {
      element.hidden = block === null;
      if (!block) return;
      const sum = pattern && blockSum(pattern, block);
      const [first, last] = block.queries;
      const count = last - first + 1;
      const some = (/** @type {number[]} */ [from, to]) => (from === to ? [`token ${from} `, quoted(names[from])] : [`tokens ${from} `, quoted(names[from]), ` to ${to} `, quoted(names[to])]);
      const whole = count === 1 ? "its attention" : `the ${count} that they have to give, one each`;
      const share = count === 1 || sum === null ? "" : `: ${fixed((100 * sum) / count, 1)} %`;
      const verb = count === 1 ? " gives " : " give ";
      const much = sum === null ? "…" : differs ? `${signed(sum)} more` : fixed(sum);
      element.replaceChildren(...some(block.queries), verb, ...some(block.keys), ` together ${much} of ${whole}${differs ? "" : share}`);
      set(element, { "data-sum": sum ?? false, "data-of": count });
    },
  };
}
