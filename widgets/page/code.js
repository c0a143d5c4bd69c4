// @ts-check
// The Python behind a picture, as views/shared/code.py writes it, and where the numbers come from in one line.
import { visible } from "../model/visible.js";

/** @typedef {import("../model/trace.js").Trace} Trace */

const ESCAPES = /** @type {Record<string, string>} */ ({ "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" });

/**
 * A text as Python's repr writes it.
 * @param {string} text
 */
export function repr(text) {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const written = Array.from(text, (letter) => {
    if (letter === mark) return `\\${mark}`;
    if (letter in ESCAPES) return ESCAPES[letter];
    if (letter === " " || !/[\p{C}\p{Z}]/u.test(letter)) return letter;
    const code = /** @type {number} */ (letter.codePointAt(0));
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
  });
  return mark + written.join("") + mark;
}

/** A number with six digits, as Python's :g writes it. @param {number} value */
export function shortNumber(value) {
  return String(Number(value.toPrecision(6))).replace(/e([+-])(\d)$/, "e$10$2");
}

/** A text to read: spaces stay spaces, and everything else that is invisible gets a mark. @param {string} text */
export function readable(text) {
  return text.split(" ").map(visible).join(" ");
}

/**
 * The words of a run's edits, by their spots; one for a part that was edited alike in each layer.
 * @param {Trace} trace
 */
export function editWords(trace) {
  const layers = trace.config.n_layer;
  const each = /** @type {Map<string, string[]>} */ (new Map());
  for (const [spot, edits] of Object.entries(trace.edit)) {
    const spots = spot.startsWith("h.") || !/^(attn|mlp|resid)/.test(spot) ? [spot] : Array.from({ length: layers }, (_, layer) => `h.${layer}.${spot}`);
    for (const one of spots) each.set(one, [...(each.get(one) ?? []), ...edits.map(({ text }) => text)]);
  }
  const written = new Map([...each].map(([spot, words]) => [spot, words.length > 1 ? `[${words.join(", ")}]` : words[0]]));
  const found = /** @type {Map<string, string>} */ (new Map());
  for (const [spot, words] of written) {
    const part = spot.split(".").slice(2).join(".");
    const alike = layers > 1 && spot.startsWith("h.") && Array.from({ length: layers }, (_, layer) => written.get(`h.${layer}.${part}`)).every((other) => other === words);
    found.set(alike ? part : spot, words);
  }
  return found;
}

/**
 * The Python behind a picture, cut at the numbers that a selection changes: every second part is the name of one.
 * @param {string} template with SETUP, TEXT, HEADS @param {Trace} trace @param {string} setup
 */
export function codeParts(template, trace, setup) {
  const edits = editWords(trace);
  let made = "";
  if (edits.size) {
    const calls = new Set([...edits.values()].flatMap((words) => words.replace(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/g, "").match(/\b(?:add|copied|cut|drawn|hold|scale|steer|usual|zero)(?=\()/g) ?? []));
    made = `edit={${[...edits].map(([spot, words]) => `'${spot}': ${words}`).join(", ")}}`;
    template = template.replace("import bloomlab\n", `import bloomlab\nfrom bloomlab import ${[...calls].sort().join(", ")}\n`);
    template = template.replace(/(lab\.trace\(TEXT, read=\[[^\]]*\])\)/g, "$1, EDITS)");
  }
  const words = /** @type {Record<string, string>} */ ({ SETUP: setup, TEXT: repr(trace.text), HEADS: String(trace.config.n_head), EDITS: made });
  return template.split(/\{(\w+)\}/).map((part, i) => (i % 2 ? part : part.replace(/SETUP|TEXT|HEADS|EDITS/g, (mark) => words[mark])));
}

/**
 * Where the numbers come from, in one line.
 * @param {Trace} trace @param {{name: string, hash: string, dtype: string}} model
 */
export function stamp(trace, { name, hash, dtype }) {
  const edits = [...editWords(trace)].map(([spot, words]) => `${spot} ${words}`);
  return readable([name, `weights ${hash}`, dtype, "no seed", edits.length ? `edited: ${edits.join(", ")}` : "no edits", "computed in this page"].join(" · "));
}
