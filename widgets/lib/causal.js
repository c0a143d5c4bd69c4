// @ts-check
// The numbers behind the picture. Of every matrix only the causal half is there (key ≤ query), row by row.

/**
 * @typedef {{query: number, key: number}} Cell
 * @typedef {{content: number, position: number, total: number, normaliser: number, probability: number,
 *   captured: number}} Ledger
 * @typedef {{scores: Float32Array, probs: Float32Array}} HeadValues
 * @typedef {{text: string, layers: number, heads: number, slopes: number[], block: number, stamp: string,
 *   tokens: {id: number, bytes: string}[], chips: {shown: string, tokens: number[]}[], code: string[]}} Picture
 */

/**
 * The number of a cell.
 * @param {number} query
 * @param {number} key
 */
export function cellNumber(query, key) {
  return (query * (query + 1)) / 2 + key;
}

/**
 * How many cells a causal half of this many tokens has.
 * @param {number} tokens
 */
export function cellCount(tokens) {
  return cellNumber(tokens, 0);
}

/**
 * Bytes that crossed from Python, as float32. They may start anywhere in their buffer, so they are copied.
 * @param {DataView | null | undefined} view
 * @returns {Float32Array}
 */
export function floats(view) {
  if (!view) return new Float32Array();
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/**
 * @param {DataView | null | undefined} view
 * @returns {Uint8Array}
 */
export function bytes(view) {
  return view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
}

/**
 * What one probability is made of: the same sum as bloomlab.lens.ledger.
 * @param {HeadValues} values
 * @param {number} slope
 * @param {number} query
 * @param {number} key
 * @returns {Ledger}
 */
export function ledgerOf(values, slope, query, key) {
  const row = cellNumber(query, 0);
  const totals = Array.from({ length: query + 1 }, (_, k) => values.scores[row + k] + slope * (k - query));
  const most = Math.max(...totals);
  const normaliser = most + Math.log(totals.reduce((sum, total) => sum + Math.exp(total - most), 0));
  const content = values.scores[row + key];
  const position = slope * (key - query) || 0;
  const total = content + position;
  return {
    content,
    position,
    total,
    normaliser,
    probability: Math.exp(total - normaliser),
    captured: values.probs[row + key],
  };
}

/**
 * What a mode shows of a cell.
 * @param {HeadValues} values
 * @param {number} slope
 * @param {string} mode
 * @param {number} cell
 * @param {number} query
 * @param {number} key
 */
export function shownValue(values, slope, mode, cell, query, key) {
  if (mode === "probability") return values.probs[cell];
  const content = mode === "position" ? 0 : values.scores[cell];
  const position = mode === "content" ? 0 : slope * (key - query);
  return content + position;
}

/**
 * The largest number, by size, among a head's content, position and both: one scale for the three.
 * @param {HeadValues} values
 * @param {number} slope
 * @param {number} tokens
 */
export function largestPart(values, slope, tokens) {
  let most = slope * (tokens - 1);
  for (let query = 0, cell = 0; query < tokens; query++) {
    for (let key = 0; key <= query; key++, cell++) {
      const content = values.scores[cell];
      most = Math.max(most, Math.abs(content), Math.abs(content + slope * (key - query)));
    }
  }
  return most;
}

/**
 * What to call each token: its chip, and of a chip made of several tokens which part of it.
 * @param {Picture} picture
 */
export function tokenNames(picture) {
  const names = picture.tokens.map(() => "");
  for (const chip of picture.chips) {
    chip.tokens.forEach((token, part) => {
      names[token] = chip.tokens.length === 1 ? chip.shown : `${chip.shown} ${part + 1}/${chip.tokens.length}`;
    });
  }
  return names;
}
