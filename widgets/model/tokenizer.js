// @ts-check
// From text to ids: BLOOM's byte-level BPE. Text is split into pieces, each piece is written as UTF-8 bytes, and pairs of
// neighbours are merged in the order in which the merges were learned. Nothing is added at the beginning or the end.
import { InputError } from "./errors.js";
import { joinBytes, textOrEmpty } from "./tokens.js";

// The regex of tokenizer.json is ` ?[^(\s|[.,!?…。，、।۔،])]+`, whose inner bracket is a class inside a class (Oniguruma),
// which JavaScript has no word for: what is left out is ( | ) white space and these marks. Python checks the file.
const PIECE = / ?[^(|)\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000.,!?…。，、।۔،]+/gu;

/** A character for each byte: the printable ones stand for themselves, the others for what follows U+0100. */
const CHARACTER_OF = (() => {
  const printable = (/** @type {number} */ byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
})();
const BYTE_OF = new Map(CHARACTER_OF.map((character, byte) => [character, byte]));

/**
 * @typedef {{rank: number, at: number, parts: string[]}} Merge a step of BPE: what was joined, and all parts after it
 * @typedef {{special: Map<string, number>, tokens: string[], ranks: Map<string, number>, prefix: boolean}} Vocabulary
 */

/** @param {string} text in the characters that stand for bytes */
export function bytesOf(text) {
  return Uint8Array.from(text, (character) => /** @type {number} */ (BYTE_OF.get(character)));
}

export class Tokenizer {
  /** @param {any} file the tokenizer.json, as parsed */
  constructor(file) {
    const { vocab, merges } = file.model;
    /** @type {Map<string, number>} */
    this.special = new Map(file.added_tokens.map((/** @type {any} */ { content, id }) => [content, id]));
    this.ids = new Map(/** @type {[string, number][]} */ (Object.entries(vocab)));
    /** @type {Map<string, number>} */
    this.ranks = new Map(merges.map((/** @type {any} */ pair, /** @type {number} */ rank) => [Array.isArray(pair) ? pair.join(" ") : pair, rank]));
    const names = [...this.special.keys()].sort((one, other) => other.length - one.length).map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    this.specials = names.length ? new RegExp(names.join("|"), "gu") : null;
    const bytes = /** @type {Map<number, Uint8Array>} */ (new Map());
    for (const [name, id] of this.ids) if (!this.special.has(name)) bytes.set(id, bytesOf(name));
    for (const [name, id] of this.special) bytes.set(id, new TextEncoder().encode(name));
    this.bytes = bytes;
    this.known = /** @type {Map<string, number[]>} */ (new Map()); // pieces that were seen
  }

  /** How many tokens it has. */
  get size() {
    return this.bytes.size;
  }

  /**
   * The ids of a text. Special tokens inside it are matched literally first.
   * @param {string} text
   */
  encode(text) {
    if (!text.isWellFormed()) throw new InputError("the text has half of a character in it (a lone surrogate); delete it and type it again");
    const ids = /** @type {number[]} */ ([]);
    let at = 0;
    for (const found of this.specials ? text.matchAll(this.specials) : []) {
      this.#plain(text.slice(at, found.index), ids);
      ids.push(/** @type {number} */ (this.special.get(found[0])));
      at = found.index + found[0].length;
    }
    this.#plain(text.slice(at), ids);
    return ids;
  }

  /** @param {string} text @param {number[]} ids that are added to */
  #plain(text, ids) {
    let at = 0;
    for (const found of text.matchAll(PIECE)) {
      if (found.index > at) ids.push(...this.#piece(text.slice(at, found.index))); // what does not match stays one piece
      ids.push(...this.#piece(found[0]));
      at = found.index + found[0].length;
    }
    if (at < text.length) ids.push(...this.#piece(text.slice(at)));
  }

  /** @param {string} piece */
  #piece(piece) {
    let ids = this.known.get(piece);
    if (!ids) {
      const parts = this.merged(new TextEncoder().encode(piece));
      ids = parts.map((part) => /** @type {number} */ (this.ids.get(part)));
      if (this.known.size > 5000) this.known.clear();
      this.known.set(piece, ids);
    }
    return ids;
  }

  /** @param {Uint8Array} data @returns {string[]} in the characters that stand for bytes */
  merged(data) {
    const parts = Array.from(data, (byte) => CHARACTER_OF[byte]);
    while (this.#join(parts)) ; // of all neighbours, those that were learned first are joined first
    return parts;
  }

  /**
   * The steps that build bytes out of single ones.
   * @param {Uint8Array} data @returns {Merge[]}
   */
  merges(data) {
    const parts = Array.from(data, (byte) => CHARACTER_OF[byte]);
    const steps = [];
    for (let step = this.#join(parts); step; step = this.#join(parts)) steps.push({ ...step, parts: [...parts] });
    return steps;
  }

  /** Join the pair of the lowest rank, the leftmost first. @param {string[]} parts that are changed */
  #join(parts) {
    let [rank, at] = [Infinity, -1];
    for (let i = 0; i + 1 < parts.length; i++) {
      const own = this.ranks.get(`${parts[i]} ${parts[i + 1]}`);
      if (own !== undefined && own < rank) [rank, at] = [own, i];
    }
    if (at < 0) return null;
    parts.splice(at, 2, parts[at] + parts[at + 1]);
    return { rank, at };
  }

  /** @param {number[]} ids @returns {import("./tokens.js").Token[]} */
  tokensOfIds(ids) {
    return ids.map((id) => {
      const bytes = this.bytes.get(id) ?? new Uint8Array(0);
      return { id, bytes, text: textOrEmpty(bytes) };
    });
  }

  /** @param {string} text */
  tokens(text) {
    return this.tokensOfIds(this.encode(text));
  }

  /** @param {number[]} ids */
  bytesOfIds(ids) {
    return joinBytes(this.tokensOfIds(ids).map(({ bytes }) => bytes));
  }
}
