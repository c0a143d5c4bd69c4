// @ts-check
// What the four heads say: the numbers behind the view of predictions, and the rows that its grid shows.
import { floats } from "../lib/causal.js";
import { wholes } from "../lib/states.js";

/**
 * @typedef {"next" | "language" | "tags" | "start" | "end"} Kind a kind of row
 * @typedef {{kind: Kind, layer: number}} Row
 * @typedef {{word: string, p: number, mark: string, before: number}} Reading before: of a difference, as it is
 * @typedef {{name: string, p: number, before: number}} Label
 * @typedef {{kind: Kind, layer: number, token: number, name: string, before: number, p: number}} Change
 * @typedef {[string, number, number, number]} AnswerSpan its text, score, first and last token
 * @typedef {{spans: AnswerSpan[], note: string, outside: number}} LayerAnswer
 * @typedef {{text: string, layers: number, heads: number, vocab: number, column: number, edited: boolean, stamp: string, code: string[], difference?: object,
 *   labels: Record<string, string[]>, missing: Record<string, string>,
 *   tokens: {id: number, bytes: string}[], chips: {shown: string, tokens: number[]}[]}} PredictionsPicture
 */

/** What each kind of row is called: in plain words, and its head. */
export const ROW_NAMES = {
  next: ["next token", "lm_head"],
  language: ["label, if the text ended here", "score"],
  tags: ["tag", "classifier"],
  start: ["answer starts", "qa_outputs"],
  end: ["answer ends", "qa_outputs"],
};

/**
 * All numbers, by name, as they are asked for.
 * @param {(name: string) => any} get a trait
 * @param {PredictionsPicture} picture
 */
export function headReadings(get, picture) {
  const { first, count, top } = get("window");
  const words = get("words");
  const [ids, probs, before] = [wholes(get("ids")), floats(get("probs")), floats(get("before"))];
  const tables = { language: floats(get("language")), tags: floats(get("tags")) };
  const tablesBefore = { language: floats(get("language_before")), tags: floats(get("tags_before")) };
  const [ends, endsBefore] = [floats(get("ends")), floats(get("ends_before"))];
  const answers = /** @type {LayerAnswer[]} */ (get("answers"));
  const answersBefore = /** @type {LayerAnswer[]} */ (get("answers_before"));
  const differs = Boolean(picture.difference);
  const tokens = picture.tokens.length;
  const kinds = /** @type {Kind[]} */ (["next", ...["language", "tags"].filter((task) => task in picture.labels), ...(answers.length > 0 ? ["start", "end"] : [])]);

  /** Every label with its probability, in the head's order. @param {"language" | "tags"} task @param {number} layer @param {number} token @returns {Label[]} */
  function labels(task, layer, token) {
    const names = picture.labels[task] ?? [];
    const from = (layer * tokens + token) * names.length;
    return names.map((name, i) => ({ name, p: tables[task][from + i], before: tablesBefore[task][from + i] }));
  }

  /** @param {number} layer @param {number} token @returns {{id: number, word: string, p: number, before: number}[]} the likeliest first; before: of a difference */
  function next(layer, token) {
    if (token < first || token >= first + count) return [];
    const from = (layer * count + token - first) * top;
    return Array.from({ length: top }, (_, i) => ({ id: ids[from + i], word: words[ids[from + i]] ?? "", p: probs[from + i], before: before[from + i] }));
  }

  /** How likely the answer starts, or ends, at a token. @param {number} layer @param {"start" | "end"} kind @param {number} token */
  const edge = (layer, kind, token) => ends[edgeAt(layer, kind, token)];
  const edgeAt = (/** @type {number} */ layer, /** @type {string} */ kind, /** @type {number} */ token) => (2 * layer + (kind === "end" ? 1 : 0)) * tokens + token;

  /** What stands in a cell; null where nothing is known yet. Of a difference: what has changed most. @param {Row} row @param {number} token @returns {Reading | null} */
  function at({ kind, layer }, token) {
    if (kind === "next") {
      const [best] = next(layer, token);
      return best ? { word: best.word, p: best.p, before: best.before, mark: "" } : null;
    }
    if (kind === "start" || kind === "end") {
      const p = edge(layer, kind, token);
      const [span] = answers[layer].spans;
      const mark = kind === "start" ? (span[2] === token ? "[" : "") : span[3] === token ? "]" : "";
      return { word: p.toFixed(2), p, before: endsBefore[edgeAt(layer, kind, token)], mark };
    }
    const best = labels(kind, layer, token).reduce((most, label) => ((differs ? moved(label) > moved(most) : label.p > most.p) ? label : most));
    return { word: best.name, p: best.p, before: best.before, mark: kind === "language" && token === picture.column ? "▲" : "" };
  }

  /** Of a row of the grid, the cell that has changed most; null if none has. @param {Row} row @returns {Change | null} */
  function largest({ kind, layer }) {
    let most = /** @type {Change | null} */ (null);
    for (let token = 0; token < tokens; token++) {
      const reading = at({ kind, layer }, token);
      if (reading && moved(reading) > (most ? moved(most) : 0)) most = { kind, layer, token, name: reading.word, before: reading.before, p: reading.p };
    }
    return most;
  }

  return {
    kinds,
    differs,
    labels,
    next,
    edge,
    at,
    largest,
    answer: (/** @type {number} */ layer) => answers[layer],
    answerBefore: (/** @type {number} */ layer) => answersBefore[layer],
    /** How likely an answer is just these tokens, as it is. @param {number} layer @param {number} start @param {number} end */
    spanBefore: (layer, start, end) => endsBefore[edgeAt(layer, "start", start)] * endsBefore[edgeAt(layer, "end", end)],
    /** The same of this run. @param {number} layer @param {number} start @param {number} end */
    span: (layer, start, end) => edge(layer, "start", start) * edge(layer, "end", end),
    window: { first, count },

    /** The rows of the grid: every head after one layer, or one head after every layer. @param {string} asked @param {number} layer @returns {Row[]} */
    rows(asked, layer) {
      if (asked === "all") return kinds.map((kind) => ({ kind, layer }));
      const own = kinds.filter((kind) => kind === asked || (asked === "answer" && (kind === "start" || kind === "end")));
      return Array.from({ length: picture.layers }, (_, i) => own.map((kind) => ({ kind, layer: i }))).flat();
    },
  };
}

/** By how much a probability has changed, by size. @param {{p: number, before: number}} one */
export const moved = ({ p, before }) => Math.abs(p - before);
