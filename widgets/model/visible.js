// @ts-check
// What cannot be seen in a text, made visible: spaces, line ends, controls, marks without ink.

const GLYPHS = /** @type {Record<string, string>} */ ({ " ": "·", "\n": "↵", "\t": "⇥", "\r": "␍", "\x7f": "␡" });
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zs}\p{Zl}\p{Zp}]/u;
const BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800\u034f"; // fillers: letters by category, blank on the screen
const SELECTORS = /^[\u17b4\u17b5\u180b\u180c\u180d\u180f\ufe00-\ufe0f]+/; // marks without ink
const RESERVED = /[\u2065\ufff0-\ufff8]/; // for more of such marks: no font draws them
const MARK = /^\p{M}/u;

/**
 * The text with every space, line end, control, zero-width and direction mark made visible.
 * @param {string} text
 */
export function visible(text) {
  const selectors = SELECTORS.exec(text)?.[0] ?? "";
  const seen = text.slice(selectors.length);
  const shown = [...selectors].map(named).join("") + Array.from(seen, visibleCharacter).join("");
  return MARK.test(shown) ? `◌${shown}` : shown;
}

/** @param {string} character */
function named(character) {
  return `⟨U+${/** @type {number} */ (character.codePointAt(0)).toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** @param {string} character */
function visibleCharacter(character) {
  if (character in GLYPHS) return GLYPHS[character];
  const code = /** @type {number} */ (character.codePointAt(0));
  if (code < 32) return String.fromCodePoint(0x2400 + code);
  if (UNSEEN.test(character) || BLANK_LETTERS.includes(character) || RESERVED.test(character) || (code & 0xfffe) === 0xfffe || code >= 0xe0000) return named(character);
  return character;
}

/**
 * What in a text has no face of its own, by code and by Unicode's name: each once, in order.
 * @param {string} text @param {Record<string, string>} names by character
 */
export function unseen(text, names) {
  const faceless = Array.from(text).filter((letter) => SELECTORS.test(letter) || visibleCharacter(letter).startsWith("⟨U+"));
  return [...new Set(faceless)].map((letter) => `${named(letter).slice(1, -1)} ${names[letter] ?? "without a name"}`);
}

/** @param {string} text what stands after something visible */
export function visibleAfter(text) {
  return Array.from(text, visibleCharacter).join("");
}
