// @ts-check
// The tokens panel of a page that computes by itself: merges, counts, and of a difference the surprise at each token.
import { InputError } from "../model/errors.js";
import { bytesOf } from "../model/tokenizer.js";
import { characters, displayTokens, hex, joinBytes, replaced, textOrEmpty, tokenNames } from "../model/tokens.js";
import { unseen, visible } from "../model/visible.js";
import { surprise } from "./lenses.js";
import { textPicture } from "./pictures.js";

/** @typedef {import("./pictures.js").Lab} Lab @typedef {import("../model/trace.js").Trace} Trace */

const LONGEST = 64; // bytes: a longer token is shown, but its merges are too many to look at
const NO_SPACES = /^(?=\p{L})[\p{Unified_Ideograph}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Laoo}\p{sc=Khmr}\p{sc=Mymr}\p{sc=Tibt}]/u;
const SPACE = /[\s\x1c-\x1f\x85]+/; // as Python's split takes it

/** Words: whatever has a letter or a digit and stands between white space; null if a script writes no spaces. @param {string} text */
export function countWords(text) {
  if (Array.from(text).some((letter) => NO_SPACES.test(letter))) return null;
  return text.split(SPACE).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
}

/** @param {import("../model/tokens.js").Token[]} tokens */
function costsOf(tokens) {
  const data = joinBytes(tokens.map(({ bytes }) => bytes));
  if (!data.length) return null;
  const text = replaced(data);
  const [words, letters] = [countWords(text), characters(data).length];
  return { tokens: tokens.length, words, characters: letters, bytes: data.length, per_word: words ? tokens.length / words : null, per_character: tokens.length / letters, per_byte: tokens.length / data.length, bits: null };
}

/** @param {Uint8Array} data */
function shown(data) {
  return visible(textOrEmpty(data));
}

/** The merges that build some bytes, to be replayed. @param {Lab} lab @param {Uint8Array} data */
function replayOf({ tokenizer }, data) {
  const long = data.length > LONGEST;
  let parts = Array.from(data, (byte) => Uint8Array.of(byte));
  const names = (/** @type {Uint8Array} */ part) => tokenizer.merged(part).join("");
  const steps = [];
  for (const step of long ? [] : tokenizer.merges(data)) {
    const before = parts.map(names);
    const ranks = before.slice(1).map((right, i) => tokenizer.ranks.get(`${before[i]} ${right}`) ?? null);
    parts = step.parts.map(bytesOf);
    steps.push([step.at, shown(parts[step.at]), ranks]);
  }
  return { bytes: hex(data), start: Array.from(data, (byte) => shown(Uint8Array.of(byte))), steps, long };
}

/** Whether the merges make exactly these tokens of a chip's bytes. @param {Lab} lab @param {import("../model/tokens.js").Chip} chip @param {Trace} trace */
function isBuilt({ tokenizer }, chip, trace) {
  if (chip.bytes.length > LONGEST) return true;
  const made = tokenizer.merged(chip.bytes).map((part) => hex(bytesOf(part)));
  return made.join("|") === chip.tokens.map((token) => hex(trace.tokens[token].bytes)).join("|");
}

/** @type {import("./pictures.js").Panel} */
export const tokensPage = {
  name: "tokens",
  title: "Tokens",
  compares: true,
  needs: {
    comparison: ["comparing", ["open"], "lab.tokens(TEXT).view.compare()"],
    mattered: ["attributing", ["open"], "lab.attribution(TEXT)"],
  },

  place(trace) {
    let longest = 0;
    trace.tokens.forEach(({ bytes }, token) => {
      if (bytes.length > trace.tokens[longest].bytes.length) longest = token;
    });
    return { query: longest, key: longest };
  },

  numbers(lab, trace, _, base) {
    const chips = displayTokens(trace.tokens);
    const numbers = /** @type {Map<string, number>} */ (new Map()); // a chip's bytes -> the number of its replay
    for (const { bytes } of chips) if (!numbers.has(hex(bytes))) numbers.set(hex(bytes), numbers.size);
    const replays = [...numbers.keys()].map((data) => replayOf(lab, Uint8Array.from(data ? data.split(" ") : [], (byte) => parseInt(byte, 16))));
    const picture = /** @type {Record<string, any>} */ ({
      ...textPicture(lab, trace),
      scripts: trace.ids.map((id) => (lab.scripts[id] ?? "").toLowerCase()),
      unseen: chips.map((chip) => unseen(chip.text, lab.names).join(", ")),
      replay_of: chips.map(({ bytes }) => numbers.get(hex(bytes))),
      built: chips.map((chip) => isBuilt(lab, chip, trace)),
      replays,
      merges: lab.tokenizer.ranks.size,
      costs: costsOf(trace.tokens),
    });
    const pieces = { picture, loss: new Float32Array(0), loss_before: new Float32Array(0), replayed: { chip: 0, step: -1 } };
    if (base) {
      if (base.ids.length !== trace.ids.length) throw new InputError("the two runs have other numbers of tokens, so there is no difference; look at each by itself");
      const names = tokenNames(base.tokens);
      picture.difference = { others: Object.fromEntries(base.ids.flatMap((id, token) => (id === trace.ids[token] ? [] : [[token, names[token]]]))), refusal: "" };
      pieces.loss = surprise(lab.model, trace);
      pieces.loss_before = surprise(lab.model, base);
    }
    return pieces;
  },

  more: () => ({}),
};
