// @ts-check
// The KV cache as a ledger, as bloomlab/lens/cache.py and views/writing/payload.py have it: what it holds, what it saves,
// and what the next token loses where part of it goes, or another text's stands in its place.
import { columnsOf, firstColumns, someColumns } from "../model/cache.js";
import { cut } from "../model/edits.js";
import { logSoftmax } from "../model/nn.js";
import { kl, topOf } from "./lenses.js";
import { wordOf } from "./pictures.js";

/** @typedef {import("./written.js").Writing} Writing */

const FAR = 2048; // columns of the cache that its bytes are told for
const NUMBER = 4; // bytes

/** @param {import("../model/weights.js").Config} config @param {number} columns */
const bytesOf = ({ n_layer: layers, hidden_size: hidden }, columns) => 2 * layers * hidden * columns * NUMBER;

/** How many multiplications the step takes that predicts the token after so many keys. @param {import("../model/weights.js").Config} config @param {number} keys @param {boolean} cached */
function multiplications({ n_layer: layers, hidden_size: hidden, vocab_size: vocab }, keys, cached) {
  const columns = cached ? 1 : keys;
  const looks = columns * keys - (columns * (columns - 1)) / 2;
  return layers * (columns * 12 * hidden ** 2 + 2 * hidden * looks) + hidden * vocab;
}

/** Which of so many columns are left. @param {string} keep @param {number} columns @param {number} window */
function kept(keep, columns, window) {
  const first = keep === "all" ? 0 : keep === "without the oldest" ? 1 : Math.max(0, columns - window);
  const rest = Array.from({ length: Math.max(0, columns - first) }, (_, i) => first + i);
  return keep === "first and window" && first > 0 && columns ? [0, ...rest] : rest;
}

/** @param {Float32Array} before @param {Float32Array} after */
const moved = (before, after) => kl(logSoftmax(before), logSoftmax(after));

/**
 * What the cache of a node holds and saves, and what the next token loses with part of it, or with another's.
 * @param {Writing} writing @param {number} node @param {string} keep @param {number} window
 * @param {{writing: Writing, node: number} | null} other whose cache can stand in its place
 */
export function cacheLedger(writing, node, keep, window, other) {
  const { config } = writing.trace;
  const ids = writing.ids(node);
  const { logits } = writing.nodes[node];
  const columns = ids.length;
  const said = (/** @type {Float32Array} */ scores) => wordOf(writing.lab, topOf(scores, 1)[0]);
  const found = {
    node,
    keep,
    layers: config.n_layer,
    columns,
    bytes: bytesOf(config, columns),
    far: FAR,
    bytes_far: bytesOf(config, FAR),
    with: multiplications(config, columns, true),
    without: multiplications(config, columns, false),
    kept: Array.from({ length: columns - 1 }, (_, i) => i),
  };
  if (keep === "read afresh") {
    const afresh = writing.after(ids, null);
    return { ...found, kept: [], difference: afresh.reduce((most, score, id) => Math.max(most, Math.abs(score - logits[id])), 0) };
  }
  if (keep === "all") return found;
  const past = firstColumns(writing.cache(node), columns - 1);
  if (keep === "of the other text") {
    if (!other) return { ...found, refused: "compare with a branch first: its cache can then stand in place of this one's" };
    const theirs = other.writing.ids(other.node);
    if (theirs.length < columns - 1) return { ...found, refused: `the other text has ${theirs.length} tokens, and ${columns - 1} are needed: write it on first` };
    const after = writing.after(ids, firstColumns(other.writing.cache(other.node), columns - 1));
    const parted = ids.slice(0, -1).findIndex((id, column) => id !== theirs[column]);
    return { ...found, parted: parted < 0 ? columns - 1 : parted, kl: moved(writing.after(ids, past), after), says: said(after), said: said(logits) };
  }
  const left = kept(keep, columns - 1, window);
  const rest = past && someColumns(past, left);
  const gone = found.kept.filter((column) => !left.includes(column));
  const cuts = gone.length ? Object.fromEntries(Array.from({ length: config.n_layer }, (_, layer) => [`h.${layer}.attn.biased`, [cut({ key: gone }).change]])) : {};
  const whole = writing.after(ids, past);
  const lost = writing.after([...left.map((column) => ids[column]), ids[columns - 1]], rest);
  return {
    ...found,
    kept: left,
    bytes: bytesOf(config, columnsOf(rest)) + bytesOf(config, 1),
    kl: moved(whole, lost),
    kl_in_place: moved(whole, writing.after(ids, past, cuts)),
    says: said(lost),
    said: said(logits),
  };
}
