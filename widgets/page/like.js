// @ts-check
// Texts like one, as bloomlab/tiny/like.py makes them: its people, cities, animals and other words of the tiny world in
// the place of each other; and what a view draws from and measures in, as views/shared/like_texts.py has it.
import { InputError } from "../model/errors.js";
import { repr } from "./code.js";
import { Random } from "./random.js";

/**
 * @typedef {{text: string, other: string, answer: string, rival: string}} Case as in bloomlab/lens/cases.py
 * @typedef {{gap: string, forms: [string, number][]}} Words those of a language, each with the number of its kind
 * @typedef {{name: string, code: string, texts: string[]}} TextSet
 * @typedef {import("../model/tokenizer.js").Tokenizer} Tokenizer
 */

const TEXTS = 64;
const TRIES = 10; // texts for each that is asked for
const JOINS = /^[\p{L}\p{M}\p{N}]/u; // a character that goes on with the word beside it

/** Where a text has words of a language. @param {Words} words @param {string} text @returns {{word: string, index: number}[]} */
function matches({ gap, forms }, text) {
  const longest = forms.map(([word]) => word).sort((one, other) => Array.from(other).length - Array.from(one).length);
  const pattern = new RegExp(longest.map((word) => word.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")).join("|"), "gu");
  const found = [];
  for (const match of text.matchAll(pattern)) {
    const before = Array.from(text.slice(Math.max(0, match.index - 2), match.index)).at(-1) ?? "";
    const after = text.slice(match.index + match[0].length);
    if (!gap || !(JOINS.test(before) || JOINS.test(after))) found.push({ word: match[0], index: match.index });
  }
  return found;
}

/** @param {Words} words @param {string} text @param {Map<string, string>} chosen */
function replacedWords(words, text, chosen) {
  let [written, end] = ["", 0];
  for (const { word, index } of matches(words, text)) {
    written += text.slice(end, index) + (chosen.get(word) ?? word);
    end = index + word.length;
  }
  return written + text.slice(end);
}

/** At most 64 other texts of as many tokens, the same ones as in Python. @param {Tokenizer} tokenizer @param {Record<string, Words>} world @param {Case} asked @returns {Case[]} */
function like(tokenizer, world, asked) {
  const { text } = asked;
  const parts = [text, asked.other, asked.answer, asked.rival];
  let [best, most, own] = ["", -1, /** @type {{word: string, index: number}[]} */ ([])];
  for (const code of Object.keys(world)) {
    const found = matches(world[code], text);
    const covered = found.reduce((sum, { word }) => sum + Array.from(word).length, 0);
    if (covered > most) [best, most, own] = [code, covered, found];
  }
  if (!own.length) throw new InputError("the text names nobody and nothing of the tiny world, so there are no texts like it; pass texts=[…] of as many tokens");
  const words = world[best];
  const count = (/** @type {string} */ part) => (part ? tokenizer.encode(part).length : 0);
  const columns = parts.map(count);
  const kinds = new Map(words.forms);
  const choices = new Map(
    own.map(({ word }) => {
      const size = count(words.gap + word);
      return [word, words.forms.filter(([form, kind]) => kind === kinds.get(word) && count(words.gap + form) === size).map(([form]) => form)];
    }),
  );
  const random = new Random(`like 0 ${text}`);
  const cases = /** @type {Map<string, Case>} */ (new Map());
  for (let tried = 0; tried < TRIES * TEXTS && cases.size < TEXTS; tried++) {
    const chosen = /** @type {Map<string, string>} */ (new Map());
    for (const [word, forms] of choices) {
      const taken = [...chosen.values()];
      const left = forms.filter((form) => !taken.includes(form));
      chosen.set(word, random.choice(left.length ? left : [word]));
    }
    const made = parts.map((part) => (part ? replacedWords(words, part, chosen) : ""));
    const fits = made.every((part, i) => count(part) === columns[i]) && made[0] !== text && (!made[2] || made[2] !== made[3]);
    if (fits && !cases.has(made[0])) cases.set(made[0], { text: made[0], other: made[1], answer: made[2], rival: made[3] });
  }
  if (!cases.size) throw new InputError("no other words of the tiny world fit into the text, token for token; pass texts=[…]");
  return [...cases.values()];
}

/**
 * The texts that a page draws from and measures in: those that Python has given, or like ones.
 * @param {Tokenizer} tokenizer @param {Record<string, Words>} world @param {Case[] | null} given
 */
export function makeLike(tokenizer, world, given) {
  let ofText = "";
  const made = /** @type {Map<string, Case[]>} */ (new Map());

  /** @param {string} text @param {{other?: string, answer?: string, rival?: string}} [named] @returns {Case[]} */
  function cases(text, { other = "", answer = "", rival = "" } = {}) {
    if (text !== ofText) made.clear();
    ofText = text;
    const key = JSON.stringify([other, answer, rival]);
    let found = made.get(key);
    if (!found) {
      if (given) {
        const columns = tokenizer.encode(text).length;
        found = given.filter((one) => one.text !== text && tokenizer.encode(one.text).length === columns);
        if (!found.length) throw new InputError(`none of the ${given.length} texts that were given is another text of ${columns} tokens, as this one has; give the view others`);
      } else found = like(tokenizer, world, { text, other, answer, rival });
      made.set(key, found);
    }
    return found;
  }

  const name = (/** @type {number} */ count) => `${count} ${given ? "given" : "like"} text${count === 1 ? "" : "s"}`;

  /** The Python that gives them: lines that go before, and an expression. @param {string} text @param {Record<string, string>} [named] */
  function code(text, named = {}) {
    if (given) {
      const written = cases(text).map((one) => `Case(text=${repr(one.text)}, other=${repr(one.other)}, answer=${repr(one.answer)}, rival=${repr(one.rival)})`);
      return { before: `from bloomlab.lens.cases import Case\ntexts = [${written.join(", ")}]\n`, texts: "texts" };
    }
    const asked = Object.entries(named).map(([name, token]) => (token ? `, ${name}=${repr(token)}` : ""));
    return { before: "", texts: `lab.like(${repr(text)}${asked.join("")})` };
  }

  return {
    cases,
    name,
    code,
    /** What is usual, or drawn, is so in these. @param {string} text @returns {TextSet} */
    setOf(text) {
      const found = cases(text);
      return { name: name(found.length), code: given ? "" : code(text).texts, texts: found.map((one) => one.text) };
    },
  };
}
