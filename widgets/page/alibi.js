// @ts-check
// The ALiBi panel of a page that computes by itself: how steep each head's line is, and what it makes of it; the desk.
import { slopes } from "../model/alibi.js";
import { scoresOf } from "../model/causal_lm.js";
import { logSoftmax } from "../model/nn.js";
import { contentOnly, kl, matrixOf, meanDistance, overlap, positionOnly, topOf } from "./lenses.js";
import { textPicture, wordOf } from "./pictures.js";

/** @typedef {import("./pictures.js").Lab} Lab @typedef {import("../model/trace.js").Trace} Trace */

const NATS = 3; // e^-3 = 5 % of the weight is left there
const TIES = 4096; // positions among which neighbours are looked for that a model in bfloat16 cannot tell apart

/** The slope of every head as the run has used it, measured from the biases that it added: a row a layer. @param {Trace} trace */
export function slopesUsed(trace) {
  const { n_layer: layers, n_head: heads } = trace.config;
  const trained = slopes(heads);
  const tokens = trace.ids.length;
  return Array.from({ length: layers }, (_, layer) =>
    trained.map((slope, head) => {
      if (tokens === 1) return slope;
      const row = matrixOf(trace, "alibi", layer, head).subarray((tokens - 1) * tokens);
      return slope * (Math.fround(row[tokens - 1] - row[0]) / Math.fround(Math.fround(slope) * (tokens - 1)));
    }),
  );
}

/** The most attention that a head can give the previous token if it has no preference among the `earlier` ones. @param {number} slope @param {number} [earlier] */
function previousBound(slope, earlier = Infinity) {
  if (slope === 0) return 1 / earlier;
  const share = Math.expm1(-Math.abs(slope)) / Math.expm1(-Math.abs(slope) * earlier);
  return slope > 0 ? share : share * Math.exp(slope * (earlier - 1));
}

/** A number as bfloat16 holds it. @param {number} value */
function brain(value) {
  const bits = new DataView(new ArrayBuffer(4));
  bits.setFloat32(0, value);
  const whole = bits.getUint32(0);
  bits.setUint32(0, ((whole + 0x7fff + ((whole >>> 16) & 1)) & 0xffff0000) >>> 0);
  return bits.getFloat32(0);
}

/** @param {number} slope */
function firstTie(slope) {
  const own = Math.fround(slope);
  for (let pos = 0; pos < TIES; pos++) if (brain(Math.fround(own * pos)) === brain(Math.fround(own * (pos + 1)))) return pos;
  return null;
}

const kept = /** @type {Map<string, any>} */ (new Map()); // of a slope that is dragged, only the one that has moved is new

/** @param {number} slope @param {number} tokens */
function ofSlope(slope, tokens) {
  const key = `${slope} ${tokens}`;
  if (!kept.has(key)) {
    if (kept.size > 64) kept.clear();
    const bounds = Array.from({ length: tokens - 1 }, (_, i) => previousBound(slope, i + 1));
    kept.set(key, {
      reach: slope > 0 ? NATS / slope : null,
      bound: previousBound(slope),
      bound_here: bounds.length ? bounds.reduce((sum, bound) => sum + bound, 0) / bounds.length : 0,
      alone: meanDistance(positionOnly(slope, tokens), tokens),
      tie: firstTie(slope),
    });
  }
  return kept.get(key);
}

/** @param {number[]} row @param {number} tokens */
function ofRow(row, tokens) {
  const each = row.map((slope) => ofSlope(slope, tokens));
  const names = ["reach", "bound", "bound_here", "alone", "tie"];
  return { slopes: row, of_heads: Object.fromEntries(names.map((name) => [name, each.map((one) => one[name])])) };
}

/** @param {number[][]} used @param {number} tokens */
function ofSlopes(used, tokens) {
  const differ = used.some((row) => row.join() !== used[0].join());
  return { ...ofRow(used[0], tokens), ...(differ ? { by_layer: used.map((row) => ofRow(row, tokens)) } : {}) };
}

/** What the heads do: (what, layer, head), with what = mean distance, share of the previous token, of position, of content. @param {Trace} trace @param {number[][]} used */
function measured(trace, used) {
  const { n_layer: layers, n_head: heads } = trace.config;
  const tokens = trace.ids.length;
  const found = new Float32Array(4 * layers * heads);
  const alone = new Map(used.flat().map((slope) => [slope, positionOnly(slope, tokens)]));
  used.forEach((row, layer) =>
    row.forEach((slope, head) => {
      const probs = matrixOf(trace, "probs", layer, head);
      let previous = 0;
      for (let query = 1; query < tokens; query++) previous += probs[query * tokens + query - 1] / (tokens - 1);
      const numbers = [meanDistance(probs, tokens), previous, overlap(probs, /** @type {Float32Array} */ (alone.get(slope)), tokens), overlap(probs, contentOnly(matrixOf(trace, "scores", layer, head), tokens), tokens)];
      numbers.forEach((number, what) => (found[(what * layers + layer) * heads + head] = number));
    }),
  );
  return found;
}

/** What the edits that a page can make have multiplied the slopes by. @param {Trace} trace */
function desk(trace) {
  const heads = Array(trace.config.n_head).fill(1);
  let all = 1;
  for (const [spot, edits] of Object.entries(trace.edit)) {
    if (spot !== "attn.alibi" && spot !== "h.0.attn.alibi") continue;
    for (const { name, text, where } of edits) {
      if (name !== "scale" || Object.keys(where).some((axis) => axis !== "head")) continue;
      const factor = Number(text.slice("scale(".length).split(",")[0].replace(")", ""));
      if (where.head === undefined) all *= factor;
      else if (typeof where.head === "number") heads[where.head] *= factor;
    }
  }
  return { all, heads };
}

/** @typedef {{next: Float64Array, loss: number | null}} Said log p of each word after the last token; nats per token of the text */
const said = /** @type {WeakMap<Trace, Said>} */ (new WeakMap()); // of a slope that is dragged, the run without edits stays

/** @param {Lab} lab @param {Trace} trace @returns {Said} */
function saidBy(lab, trace) {
  const known = said.get(trace);
  if (known) return known;
  const vocab = trace.config.vocab_size;
  const scores = scoresOf(lab.model, trace.read("final")).data;
  const last = trace.ids.length - 1;
  const logs = new Float64Array(vocab);
  const sum = trace.ids.slice(1).reduce((all, id, pos) => all - logSoftmax(scores, pos * vocab, vocab, logs)[id], 0);
  const found = { next: logSoftmax(scores, last * vocab, vocab), loss: last ? sum / last : null };
  said.set(trace, found);
  return found;
}

/** What the edits of a run do to its text, against the run without them. @param {Lab} lab @param {Trace} trace */
function effect(lab, trace) {
  if (!trace.base) return {};
  const [before, after] = [trace.base, trace].map((run) => saidBy(lab, run));
  const [p, q] = [before.next, after.next];
  return {
    kl: kl(p, q),
    next: [p, q].map((logs) => {
      const [best] = topOf(logs, 1);
      return [wordOf(lab, best), Math.exp(p[best]), Math.exp(q[best])];
    }),
    loss: before.loss === null ? null : [before.loss, after.loss],
  };
}

/** Where each number has changed most, [layer, head, before, after]; null where nothing has. @param {Float32Array} before @param {Float32Array} after @param {Trace} trace */
function largestChanges(before, after, trace) {
  const { n_layer: layers, n_head: heads } = trace.config;
  return [0, 1, 2, 3].map((what) => {
    let [most, at] = [0, -1];
    for (let i = 0; i < layers * heads; i++) {
      const change = Math.abs(after[what * layers * heads + i] - before[what * layers * heads + i]);
      if (change > most) [most, at] = [change, i];
    }
    const place = what * layers * heads + at;
    return at < 0 ? null : [Math.floor(at / heads), at % heads, before[place], after[place]];
  });
}

/** @type {import("./pictures.js").Panel} */
export const alibiPage = {
  name: "alibi",
  title: "ALiBi",
  compares: true,
  needs: { lengths: ["wanted", [], ({ question }) => `view = lab.alibi(TEXT); view.question = "${question}"; view.run_length_lab()`] },
  place: (trace) => ({ query: trace.ids.length - 1, key: Math.max(0, trace.ids.length - 2) }),

  numbers(lab, trace, _, base) {
    const tokens = trace.ids.length;
    const used = slopesUsed(trace);
    const picture = /** @type {Record<string, any>} */ ({ ...textPicture(lab, trace), trained: slopes(trace.config.n_head), ...ofSlopes(used, tokens), desk: desk(trace), effect: effect(lab, trace) });
    const now = measured(trace, used);
    if (!base) return { picture, measured: now, before: new Float32Array(0) };
    const usedBefore = slopesUsed(base);
    const before = measured(base, usedBefore);
    const { n_layer: layers, n_head: heads } = trace.config;
    const reached = Array.from({ length: layers }, (_, layer) => Array.from({ length: heads }, (_, head) => {
      const other = matrixOf(base, "probs", layer, head);
      return matrixOf(trace, "probs", layer, head).some((value, i) => value !== other[i]);
    }));
    picture.difference = { before: ofSlopes(usedBefore, tokens), reached, largest: largestChanges(before, now, trace) };
    return { picture, measured: now, before };
  },

  more: () => ({}),
};
