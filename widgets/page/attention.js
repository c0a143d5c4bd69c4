// @ts-check
// The attention panel of a page that computes by itself: every head in small, the layer of one head exactly.
import { slopes } from "../model/alibi.js";
import { causalHalf, headAverage, matrixOf, rollout } from "./lenses.js";
import { lookAsked, lookSteps } from "./look.js";
import { joined, textPicture } from "./pictures.js";

/** @typedef {import("./pictures.js").Shown} Shown @typedef {import("../model/trace.js").Trace} Trace */

const TILE = 64; // a thumbnail has at most this many cells a side
const EXACT_BYTES = 1_000_000; // exact values of a whole layer, if they fit here, else of one head
const NOTICED = 5; // heads named that an edit has reached

/** Round half to even, as torch does. @param {number} value */
const round = (value) => (Math.abs(value % 1) === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

/** The largest of each block of cells, by size. @param {ArrayLike<number>} matrix @param {number} tokens @param {number} block */
function pooled(matrix, tokens, block) {
  const side = Math.ceil(tokens / block);
  const most = new Float32Array(side * side);
  const least = new Float32Array(side * side);
  for (let query = 0; query < tokens; query++) {
    for (let key = 0; key <= query; key++) {
      const at = Math.floor(query / block) * side + Math.floor(key / block);
      most[at] = Math.max(most[at], matrix[query * tokens + key]);
      least[at] = Math.min(least[at], matrix[query * tokens + key]);
    }
  }
  return { side, values: most.map((value, i) => (value > -least[i] ? value : least[i])) };
}

/** A byte a cell of every head. @param {Trace} trace @param {number} block @param {(matrix: Float32Array, layer: number, head: number) => ArrayLike<number>} matrix @param {(value: number) => number} step */
function thumbs(trace, block, matrix, step) {
  const tokens = trace.ids.length;
  const parts = /** @type {number[]} */ ([]);
  for (let layer = 0; layer < trace.config.n_layer; layer++) {
    for (let head = 0; head < trace.config.n_head; head++) {
      const { side, values } = pooled(matrix(matrixOf(trace, "probs", layer, head), layer, head), tokens, block);
      for (const value of causalHalf(values, side)) parts.push(round(Math.fround(step(value))));
    }
  }
  return Uint8Array.from(parts);
}

/** @param {Trace} trace @param {number} layer @param {number} head */
function reach(trace, layer, head) {
  const heads = trace.config.n_head;
  const tokens = trace.ids.length;
  return 4 * heads * tokens * (tokens + 1) <= EXACT_BYTES ? { first: layer * heads, count: heads } : { first: layer * heads + head, count: 1 };
}

/** @param {Trace} trace @param {{first: number, count: number}} exact @param {string} name */
function halves(trace, { first, count }, name) {
  const heads = trace.config.n_head;
  return joined(Array.from({ length: count }, (_, i) => causalHalf(matrixOf(trace, name, Math.floor((first + i) / heads), (first + i) % heads), trace.ids.length)));
}

/** @param {Trace} trace @param {{first: number, count: number}} exact @param {Trace | null} base */
function exactValues(trace, exact, base) {
  if (base) return { exact, scores: new Float32Array(0), probs: halves(trace, exact, "probs"), before: halves(base, exact, "probs") };
  return { exact, scores: halves(trace, exact, "scores"), probs: halves(trace, exact, "probs"), before: new Float32Array(0) };
}

/** The pattern of several heads that is shown, if it is one. @param {Shown} shown @returns {[string, number][]} */
function together({ pattern, layer }) {
  return pattern === "head" ? [] : [[pattern, pattern === "all" ? 0 : layer]];
}

/** @param {Trace} trace @param {[string, number]} which */
function patternOf(trace, [name, layer]) {
  const means = headAverage(trace);
  if (name === "layer") return means[layer];
  if (name === "rollout") return rollout(means, trace.ids.length)[layer];
  return means[0].map((_, i) => means.reduce((sum, mean) => sum + mean[i], 0) / means.length);
}

/** @param {Trace} trace @param {[string, number][]} patterns @param {Trace | null} base */
function averages(trace, patterns, base) {
  const cells = patterns.map((which) => {
    const after = patternOf(trace, which);
    const before = base ? patternOf(base, which) : null;
    return causalHalf(before ? after.map((value, i) => value - before[i]) : after, trace.ids.length);
  });
  return { averaged: { patterns }, averages: joined(cells) };
}

/** The heads that have moved most: of each the look that has changed most. @param {Trace} trace @param {Trace} base */
export function noticed(trace, base) {
  const tokens = trace.ids.length;
  const looks = [];
  for (let layer = 0; layer < trace.config.n_layer; layer++) {
    for (let head = 0; head < trace.config.n_head; head++) {
      const [before, after] = [base, trace].map((run) => matrixOf(run, "probs", layer, head));
      let [farthest, query] = [0, 0];
      for (let row = 0; row < tokens; row++) {
        let moved = 0;
        for (let key = 0; key <= row; key++) moved += Math.abs(after[row * tokens + key] - before[row * tokens + key]) / 2;
        if (moved > farthest) [farthest, query] = [moved, row];
      }
      if (!farthest) continue;
      let [most, at] = [-1, 0];
      for (let key = 0; key < tokens; key++) {
        const change = Math.abs(after[query * tokens + key] - before[query * tokens + key]);
        if (change > most) [most, at] = [change, key];
      }
      looks.push({ farthest, look: [layer, head, query, at, before[query * tokens + at], after[query * tokens + at]] });
    }
  }
  looks.sort((one, other) => other.farthest - one.farthest);
  return { noticed: looks.slice(0, NOTICED).map(({ look }) => look), heads: looks.length };
}

/** @type {import("./pictures.js").Panel} */
export const attentionPage = {
  name: "attention",
  title: "Attention",
  compares: true,
  jobs: { look: { asked: lookAsked, steps: lookSteps } },

  /** The last token, and the token before it that it looks at most. */
  place(trace, { layer, head }) {
    const tokens = trace.ids.length;
    const last = tokens - 1;
    const row = matrixOf(trace, "probs", layer, head).subarray(last * tokens, last * tokens + Math.max(1, last));
    return { query: last, key: row.reduce((best, value, key) => (value > row[best] ? key : best), 0) };
  },

  numbers(lab, trace, shown, base) {
    const tokens = trace.ids.length;
    const block = Math.max(1, Math.ceil(tokens / TILE));
    const picture = /** @type {Record<string, any>} */ ({ ...textPicture(lab, trace), slopes: slopes(trace.config.n_head), block, given: false });
    const exact = exactValues(trace, reach(trace, shown.layer, shown.head), base);
    let small;
    if (base) {
      picture.difference = noticed(trace, base);
      const change = (/** @type {Float32Array} */ after, /** @type {number} */ layer, /** @type {number} */ head) => {
        const before = matrixOf(base, "probs", layer, head);
        return after.map((value, i) => value - before[i]);
      };
      small = thumbs(trace, block, change, (value) => (value + 1) * 127.5);
    } else small = thumbs(trace, block, (probs) => probs, (value) => Math.sqrt(value) * 255);
    return { picture, thumbs: small, ...exact, ...averages(trace, together(shown), base) };
  },

  more(_, trace, shown, __, base) {
    const place = shown.layer * trace.config.n_head + shown.head - shown.exact.first;
    const pieces = place >= 0 && place < shown.exact.count ? {} : exactValues(trace, reach(trace, shown.layer, shown.head), base);
    const patterns = together(shown);
    const there = patterns.every((pattern) => shown.averaged.patterns.some((/** @type {any} */ one) => one.join() === pattern.join()));
    return there ? pieces : { ...pieces, ...averages(trace, patterns, base) };
  },
};
