// @ts-check
// What each token looks like on a page, as bloomlab/text/tokens.py has it. Tokens are runs of bytes, not of letters, so
// a chip is the fewest tokens in a row that show as whole characters, everything invisible made visible.
import { visible, visibleAfter } from "./visible.js";

/**
 * @typedef {{id: number, bytes: Uint8Array, text: string}} Token `text`: "" unless the bytes are whole characters
 * @typedef {{text: string, shown: string, tokens: number[], bytes: Uint8Array}} Chip
 */

/** @param {Uint8Array} bytes @returns {string} two hexadecimal digits each */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/** @param {Uint8Array[]} parts */
export function joinBytes(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** How many bytes a character with this first byte has, and what its second byte may be (Unicode 15, table 3-7). @param {number} first */
function shape(first) {
  if (first < 0x80) return [1, 0, 0];
  if (first >= 0xc2 && first <= 0xdf) return [2, 0x80, 0xbf];
  if (first >= 0xe0 && first <= 0xef) return [3, first === 0xe0 ? 0xa0 : 0x80, first === 0xed ? 0x9f : 0xbf];
  if (first >= 0xf0 && first <= 0xf4) return [4, first === 0xf0 ? 0x90 : 0x80, first === 0xf4 ? 0x8f : 0xbf];
  return [0, 0, 0];
}

/**
 * The bytes as whole characters and as what is none: each part's length, and its character, or null.
 * @param {Uint8Array} data
 * @returns {{length: number, character: string | null, cut: boolean}[]} `cut`: the start of a character that ends too soon
 */
export function characters(data) {
  const parts = [];
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  for (let at = 0; at < data.length; ) {
    const [size, least, most] = shape(data[at]);
    let length = 1;
    while (length < size && at + length < data.length) {
      const byte = data[at + length];
      if (length === 1 ? byte < least || byte > most : byte < 0x80 || byte > 0xbf) break;
      length += 1;
    }
    const whole = size > 0 && length === size;
    const cut = size > 0 && !whole && at + length === data.length;
    parts.push({ length, character: whole ? decoder.decode(data.subarray(at, at + length)) : null, cut });
    at += length;
  }
  return parts;
}

/** The text of whole characters; "" for any other bytes. @param {Uint8Array} data */
export function textOrEmpty(data) {
  const parts = characters(data);
  return parts.some(({ character }) => character === null) ? "" : parts.map(({ character }) => character).join("");
}

/** The text, with � for what is none. @param {Uint8Array} data */
export function replaced(data) {
  return characters(data).map(({ character }) => character ?? "\ufffd").join("");
}

/** The bytes of a character that is cut off at the end; none if the last one is whole. @param {Uint8Array} data */
function unfinished(data) {
  for (const count of [1, 2, 3]) {
    const tail = data.subarray(Math.max(0, data.length - count));
    const parts = characters(tail);
    if (parts.length === 1 && parts[0].cut) return tail;
  }
  return data.subarray(0, 0);
}

/** Whether the first of the next bytes belongs to the character that was cut off. @param {Uint8Array} start @param {Uint8Array} more */
function canContinue(start, more) {
  if (!more.length) return false;
  const both = joinBytes([start, more.subarray(0, 1)]);
  return unfinished(both).length === both.length || textOrEmpty(both) !== "";
}

/** @param {Token[]} tokens @param {number[]} group @returns {Chip} */
function joined(tokens, group) {
  const bytes = joinBytes(group.map((pos) => tokens[pos].bytes));
  let shown = "";
  let run = "";
  let at = 0;
  for (const { length, character } of characters(bytes)) { // a run of characters is made visible as one
    if (character !== null) run += character;
    else {
      shown += (shown ? visibleAfter(run) : visible(run)) + Array.from(bytes.subarray(at, at + length), (byte) => `⟨0x${byte.toString(16).toUpperCase().padStart(2, "0")}⟩`).join("");
      run = "";
    }
    at += length;
  }
  shown += shown ? visibleAfter(run) : visible(run);
  if (!bytes.length) shown = `⟨id ${tokens[group[0]].id}⟩`; // 200 rows of BLOOM's embedding belong to no token
  return { text: replaced(bytes), shown, tokens: group, bytes };
}

/**
 * Join tokens until their bytes are whole characters; every token is in exactly one chip.
 * @param {Token[]} tokens
 */
export function displayTokens(tokens) {
  const chips = /** @type {Chip[]} */ ([]);
  let group = /** @type {number[]} */ ([]);
  let open = new Uint8Array(0); // the start of a character whose other bytes are still to come
  tokens.forEach((token, pos) => {
    if (open.length && !canContinue(open, token.bytes)) {
      chips.push(joined(tokens, group));
      group = [];
      open = new Uint8Array(0);
    }
    group.push(pos);
    open = new Uint8Array(unfinished(joinBytes([open, token.bytes])));
    if (!open.length) {
      chips.push(joined(tokens, group));
      group = [];
    }
  });
  if (group.length) chips.push(joined(tokens, group));
  return chips;
}

/**
 * What to call each token: its chip, and of a chip of several tokens which part.
 * @param {Token[]} tokens
 */
export function tokenNames(tokens) {
  const names = tokens.map(() => "");
  for (const { shown, tokens: places } of displayTokens(tokens)) {
    places.forEach((token, part) => (names[token] = places.length === 1 ? shown : `${shown} ${part + 1}/${places.length}`));
  }
  return names;
}
