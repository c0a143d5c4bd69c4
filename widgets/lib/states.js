// @ts-check
// The numbers of the residual stream: for each state (embedding, after attention, after MLP, …) and token.
import { floats } from "./causal.js";

/**
 * @typedef {{row: number, token: number}} Place a state and a token
 * @typedef {{text: string, states: string[], vocab: number, tied: boolean, refusal: string, explained: number[][],
 *   tokens: {id: number, bytes: string}[], chips: {shown: string, tokens: number[]}[], stamp: string,
 *   code: string[], layers: number, heads: number}} HiddenPicture
 * @typedef {{id: number, shown: string, script: string, p: number}} Word
 */

export const WORDS_IN_A_CELL = 5;

/**
 * Bytes that crossed from Python, as int32.
 * @param {DataView | null | undefined} view
 */
export function wholes(view) {
  return new Int32Array(floats(view).buffer);
}

/**
 * A state's name in words: "3 mid" is "layer 3, after attention".
 * @param {string} label
 */
export function stateName(label) {
  const [layer, part] = label.split(" ");
  return part ? `layer ${layer}, after ${part === "mid" ? "attention" : "MLP"}` : "embedding";
}

/**
 * What was added to come to a state: "3 mid" is "attention 3".
 * @param {string} label
 */
export function partName(label) {
  const [layer, part] = label.split(" ");
  return part ? `${part === "mid" ? "attention" : "MLP"} ${layer}` : "embedding";
}

/**
 * The row of a state: the embedding, then two of each layer, after attention ("mid") and after the MLP ("post").
 * @param {number} layer
 * @param {string} part
 */
export function rowOfPlace(layer, part) {
  return part === "embed" ? 0 : 2 * layer + (part === "mid" ? 1 : 2);
}

/**
 * The state of a row; the embedding belongs to no layer, so the one that was chosen stays.
 * @param {number} row
 */
export function placeOfRow(row) {
  return row === 0 ? { part: "embed" } : { layer: Math.floor((row - 1) / 2), part: row % 2 ? "mid" : "post" };
}

/**
 * All numbers of a window of tokens, by name, as they are asked for.
 * @param {(name: string) => any} get a trait
 * @param {HiddenPicture} picture
 */
export function stateNumbers(get, picture) {
  const { first, count } = get("window");
  const words = get("words");
  const states = picture.states.length;
  const [ids, rank] = [wholes(get("ids")), wholes(get("rank"))];
  const [probs, entropy, surprise] = [floats(get("probs")), floats(get("entropy")), floats(get("surprise"))];
  const [lengths, cosines] = [floats(get("norms")), floats(get("cosines"))];
  const [shares, added] = [floats(get("shares")), floats(get("added"))];
  const [moved, before] = [floats(get("moved")), wholes(get("ids_before"))];
  const half = (states * (states + 1)) / 2;
  const at = (/** @type {Place} */ { row, token }) => row * count + token - first;
  return {
    first,
    count,
    states,
    summed: shares.length > 0,
    has: (/** @type {number} */ token) => token >= first && token < first + count,
    /** Whether it is read yet what the states of a token would say. */
    known: (/** @type {number} */ token) => !(ids[(token - first) * WORDS_IN_A_CELL] < 0),
    unread: Array.from({ length: count }, (_, i) => ids[i * WORDS_IN_A_CELL]).filter((id) => id < 0).length,
    /** @param {Place} place @returns {Word[]} the likeliest first */
    likeliest(place) {
      return Array.from({ length: WORDS_IN_A_CELL }, (_, i) => {
        const id = ids[at(place) * WORDS_IN_A_CELL + i];
        const [shown, script] = words[id] ?? ["", ""];
        return { id, shown, script, p: probs[at(place) * WORDS_IN_A_CELL + i] };
      });
    },
    entropy: (/** @type {Place} */ place) => entropy[at(place)],
    rank: (/** @type {Place} */ place) => rank[at(place)],
    chance: (/** @type {Place} */ place) => Math.exp(-surprise[at(place)]),
    length: (/** @type {Place} */ place) => lengths[at(place)],
    longest: lengths.reduce((most, length) => Math.max(most, length), 0),
    /** The share of the last state that was added on the way to this one; row `states` is the rest. */
    share: (/** @type {Place} */ place) => shares[at(place)],
    added: (/** @type {Place} */ place) => added[at(place)],
    /** Of a difference: how far what it would say has moved (KL, nats), and what it would have said. */
    moved: (/** @type {Place} */ place) => moved[at(place)] ?? 0,
    farthest: moved.reduce((most, nats) => (nats > most ? nats : most), 0), // what is not read yet is NaN
    said: (/** @type {Place} */ place) => words[before[at(place)]]?.[0] ?? "",
    largestShare: shares.reduce((most, share) => Math.max(most, Math.abs(share)), 0),
    /** @param {number} token @param {number} one @param {number} other */
    cosine(token, one, other) {
      const [low, high] = one < other ? [one, other] : [other, one];
      return cosines[(token - first) * half + (high * (high + 1)) / 2 + low];
    },
  };
}

const SCRIPTS = ["latin", "arabic", "devanagari", "cjk", "bengali", "tamil", "cyrillic"]; // each has a colour of the theme

/**
 * Which kind of script it is, and the colour of the theme that stands for it.
 * @param {string} script as Unicode names it; "" where there is no letter
 * @returns {[string, string]}
 */
export function scriptKind(script) {
  if (!script) return ["no letter", "--bl-zero"];
  const place = SCRIPTS.indexOf(script.toLowerCase());
  return place < 0 ? ["another", `--bl-kind-${SCRIPTS.length + 1}`] : [scriptName(script), `--bl-kind-${place + 1}`];
}

/** @param {string} script */
function scriptName(script) {
  return script === "CJK" ? "Chinese" : script[0] + script.slice(1).toLowerCase();
}

/**
 * Two letters for a script, so that it can be told without a colour.
 * @param {string} script
 */
export function scriptMark(script) {
  return script && scriptName(script).slice(0, 2);
}

/**
 * Whether black or white words are easier to read on a colour (WCAG 2 contrast).
 * @param {number[]} colour red, green, blue, each 0 to 255
 * @returns {"bright" | "dark"}
 */
export function brightness(colour) {
  const [red, green, blue] = colour.map((part) => (part <= 10 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "bright" : "dark";
}

/**
 * A colour as style sheets write it.
 * @param {number[]} colour red, green, blue, each 0 to 255
 */
export function hexColour(colour) {
  return `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
