// @ts-check
// Which part of the model wrote the next token, as bloomlab/views/predictions/receipt.py and inside.py show it: a line for
// each part, the largest first; then the totals, part by part; then, if asked for, the same in many texts.
import { InputError, shorten } from "../model/errors.js";
import { record } from "../model/trace.js";
import { readable, repr } from "./code.js";
import { standIn } from "./donors.js";
import { topOf } from "./lenses.js";
import { wordOf } from "./pictures.js";
import { byWhom, leadOf, openedMlp, partNames, placesOfParts, receiptOf, RECEIPT_READ, rerun, saidAfter, totalEffects } from "./receipt_lines.js";
import { replaced, tokenNames } from "../model/tokens.js";
import { bySize, changeCell, errorInWords, largestOf, numberInWords, short, spreadInWords, spreadOf } from "./words.js";

/**
 * @typedef {import("./pictures.js").Lab} Lab
 * @typedef {import("./pictures.js").Shown} Shown
 * @typedef {import("./pictures.js").Around} Around
 * @typedef {import("../model/trace.js").Trace} Trace
 * @typedef {import("./receipt_lines.js").Receipt} Receipt
 * @typedef {import("./receipt_lines.js").Versus} Versus
 * @typedef {{read: Trace, first: number, second: Versus, at: number, words: [string, string], where: string}} Question
 */

const LINES = 14; // that cross to the page
const LITTLE = 0.05; // nats: a smaller effect names no part
const SEEN = 0.01; // nats: a line that changes by less may look the same in two digits
const INSIDE = 12; // lines of an opened MLP
const PARTS_AT_ONCE = 4; // replaced between two pictures of the page

/** The id of a token that is named by its text. @param {Lab} lab @param {string} text @param {string} name */
export function tokenId({ tokenizer }, text, name) {
  const ids = tokenizer.encode(text);
  if (ids.length === 1) return ids[0];
  const hint = tokenizer.encode(` ${text}`).length === 1 ? `${repr(` ${text}`)}, with the space before it, is one` : "name one that is";
  throw new InputError(`${name} must be one token, but ${shorten(text)} is ${ids.length}; ${hint}`);
}

/** What a text decodes to. @param {Lab} lab @param {number} id */
export const textOf = ({ tokenizer }, id) => replaced(tokenizer.bytesOfIds([id]));

/** What the token is measured by; undefined: the runner-up. @param {Lab} lab @param {Shown} shown @returns {Versus | undefined} */
function measuredBy(lab, { receipt_by: by, receipt_versus: versus, receipt_rival: rival }) {
  if (by === "mean") return "mean";
  if (by === "nothing") return null;
  if (versus) return tokenId(lab, versus, "token");
  if (rival === -1) return undefined;
  if (!(rival >= 0 && rival < lab.model.config.vocab_size)) throw new InputError(`the ids go from 0 to ${lab.model.config.vocab_size - 1}, but got ${rival}`);
  return rival;
}

/** What is asked, with the run read anew: an edited one with its edits. @param {Lab} lab @param {Trace} trace @param {Shown} shown @param {string[]} spots @returns {Question} */
function questionOf(lab, trace, shown, spots) {
  if (shown.receipt_head !== "next") throw new InputError(`this head is a model of its own and is not in this page; in Python: lab.receipt(${repr(trace.text)}, head=${repr(shown.receipt_head)})`);
  const at = shown.query;
  const named = shown.receipt_token ? tokenId(lab, shown.receipt_token, "token") : null;
  const versus = measuredBy(lab, shown);
  const read = record(lab.model, lab.tokenizer, trace.text, spots, trace.edit, trace.base);
  const best = topOf(saidAfter(lab.model, read, at), 2);
  const first = named ?? /** @type {number} */ (best.find((one) => one !== versus));
  const second = versus === undefined ? /** @type {number} */ (best.find((one) => one !== first)) : versus;
  if (second === first) throw new InputError("the token and what it is measured by are the same, so their difference is 0; name another");
  const rival = second === null ? "nothing" : second === "mean" ? "the mean of all tokens" : wordOf(lab, second);
  const where = `after token ${at} ${tokenNames(trace.tokens)[at]}${Object.keys(trace.edit).length ? ", with the changes" : ""}`;
  return { read, first, second, at, words: [wordOf(lab, first), rival], where };
}

/** What the parts that follow make of a part's loss. @param {Receipt} found @param {number} part */
function wordsOf(found, part) {
  if (!found.total || Number.isNaN(found.total[part])) return "";
  const [alone, total, whom] = [found.adapted[part], found.total[part], byWhom(found, part)];
  if (!whom || Math.abs(whom[1]) < SEEN || Math.abs(total - alone) < LITTLE) return "";
  const [other, change] = whom;
  const does = total * alone < 0 ? "turned" : Math.abs(total) > Math.abs(alone) ? "amplified" : "made up for";
  return `${does}, most by ${found.names[other]}: ${short(found.direct[other])} → ${short(found.direct[other] + change)}`;
}

/** @param {Question} asked @param {Receipt} found @param {string} instead */
function finding({ words, where }, found, instead) {
  const largest = largestOf(found.direct.map(Math.abs));
  const said = `${words[0]} against ${words[1]}, ${where}: ${changeCell(found.difference)} nats; the largest line is ${found.names[largest]}, ${changeCell(found.direct[largest], 2)}.`;
  const { total } = found;
  if (!total) return said;
  const parts = placesIn(found).filter((part) => part); // without the embedding there is no text at all
  const most = parts[largestOf(parts.map((part) => total[part] || 0))];
  const lost = total[most] || 0;
  if (lost < LITTLE) return said;
  const more = wordsOf(found, most);
  return `${said} With ${instead} in its place, ${found.names[most]} costs most: ${short(lost)} (its own line ${changeCell(found.direct[most], 2)}${more ? `; ${more}` : ""}).`;
}

/** The numbers of the parts that can be replaced. @param {{names: string[]}} found */
const placesIn = ({ names }) => names.flatMap((name, part) => (/^(embedding|head \d|MLP)/.test(name) ? [part] : []));

/**
 * The lines of several texts: direct and total by part, each over the texts.
 * @typedef {{direct: Float64Array[], total: Float64Array[], difference: number[], name: string}} Several
 */

/** A receipt as the page draws it. @param {Question} asked @param {Receipt} found @param {string} instead @param {Several | null} [texts] */
function pageOf(asked, found, instead, texts = null) {
  const spots = new Map(found.names.length > 2 ? asked.read.config && placesOfParts(asked.read.config.n_layer, asked.read.config.n_head).map((place) => [place.number, place]) : []);
  const size = found.direct.map((line, part) => Math.max(Math.abs(line), Math.abs(found.total?.[part] || 0)));
  const average = (/** @type {Float64Array} */ values) => Math.fround(values.reduce((sum, value) => sum + value, 0) / values.length);
  const order = bySize(texts ? texts.direct.map((values, part) => Math.max(Math.abs(average(values)), Math.abs(average(texts.total[part]) || 0))) : size);
  const line = (/** @type {number} */ part) => {
    const place = spots.get(part);
    const { total } = found;
    const axes = Object.fromEntries(Object.entries(place?.axes ?? {}).map(([axis, index]) => [axis, [index]]));
    const measured = texts?.total[part];
    const over = texts && { direct: spreadOf(texts.direct[part]), total: place && measured && measured.every(Number.isFinite) && measured.some(Boolean) ? spreadOf(measured) : null };
    return { name: found.names[part], direct: found.direct[part], adapted: found.adapted[part], total: !total || !place || Number.isNaN(total[part]) ? null : total[part], words: wordsOf(found, part), spot: place?.spot ?? "", axes, ...(over ? { over } : {}) };
  };
  const rest = order.slice(LINES);
  const page = {
    token: readable(asked.words[0]),
    versus: readable(asked.words[1]),
    where: readable(asked.where),
    difference: found.difference,
    error: found.error,
    lines: order.slice(0, LINES).map(line),
    rest: [rest.length, rest.reduce((sum, part) => sum + found.direct[part], 0)],
    says: readable(finding(asked, found, instead)),
    closes: `the ${found.names.length} lines sum to ${changeCell(found.difference)}, error ${errorInWords(found.error)}`,
  };
  if (!texts) return page;
  const sums = texts.difference.map((_, text) => rest.reduce((sum, part) => sum + texts.direct[part][text], 0));
  return { ...page, over: { difference: spreadOf(texts.difference), rest: spreadOf(sums) }, says: readable(findingOver(found, texts, instead)) };
}

/** @param {Receipt} found @param {Several} texts @param {string} instead */
function findingOver({ names }, { direct, total, difference, name }, instead) {
  const largest = largestOf(direct.map((values) => Math.abs(spreadOf(values)[0])));
  const said = `${name}, each of its own answer: ${spreadInWords(difference)} nats; the largest line is ${names[largest]}, ${spreadInWords(direct[largest])}.`;
  const parts = placesIn({ names }).filter((part) => part);
  if (parts.some((part) => total[part].some(Number.isNaN)) || !parts.some((part) => total[part].some(Boolean))) return said;
  const most = parts[largestOf(parts.map((part) => spreadOf(total[part])[0]))];
  return `${said} With ${instead} in its place, ${names[most]} costs most: ${spreadInWords(total[most])}.`;
}

/** @param {Trace} trace @param {Question} asked @param {import("./donors.js").Stand} place @param {string} mode @param {string} [before] @param {string} [texts] */
function codeOf(trace, { first, second, at }, place, mode, before = "", texts = "") {
  let more = texts ? `, texts=${texts}` : "";
  if (mode === "total" && !(place.standard && !texts)) {
    more += `, instead=${place.code}`;
    before ||= place.before;
  }
  return `${before}found = lab.receipt(${repr(trace.text)}, ${first}, ${second === null ? "None" : second === "mean" ? "'mean'" : second}, ${at}${more})\nprint(found)\n`;
}

/**
 * The receipt, a step at a time; the first says that it has begun.
 * @param {Lab} lab @param {Trace} trace @param {Shown} shown @param {Trace | null} base @param {Around} around
 * @returns {Generator<Record<string, any>>}
 */
export function* receiptSteps(lab, trace, shown, base, { donors, like }) {
  const mode = shown.explaining === "direct" ? "direct" : "total";
  const many = shown.receipt_over === "texts";
  if (shown.receipt_head === "next") {
    measuredBy(lab, shown); // what is no token is refused here
    if (shown.receipt_token) tokenId(lab, shown.receipt_token, "token");
  }
  let piece = { ...shown.receipt, state: "running", mode, done: 0, total: 0, message: "" };
  yield { receipt: piece, explaining: mode };

  const asked = questionOf(lab, trace, shown, RECEIPT_READ);
  const { read, first, second, at } = asked;
  const found = receiptOf(lab.model, read, first, second, at);
  if (base) {
    yield { receipt: { ...piece, ...differenceOf(lab, trace, base, shown, found, asked) } };
    return;
  }
  const place = standIn(donors, like, trace.text, shown.receipt_instead);
  const places = placesOfParts(trace.config.n_layer, trace.config.n_head);
  const totals = mode === "total";
  const code = Object.keys(trace.edit).length ? "" : codeOf(trace, asked, place, mode);
  piece = { ...piece, head: "next", at: shown.query, kind: place.kind, instead: place.words, texts: "", over: null, code, ...pageOf(asked, found, place.words), total: totals ? places.length : 0 };
  yield { receipt: piece };
  let whole = found;
  if (totals) {
    const edited = (/** @type {import("./receipt_lines.js").Place} */ { spot, axes }) => ({ ...trace.edit, [spot]: [...(trace.edit[spot] ?? []), place.edit(axes, trace.ids)] });
    for (const [done, measured] of totalEffects(lab.model, read, found, first, second, at, edited)) {
      whole = measured;
      if (done % PARTS_AT_ONCE && done < places.length) continue;
      piece = { ...piece, done, ...pageOf(asked, measured, place.words) };
      yield { receipt: piece };
    }
  }
  if (many) yield* overTexts(lab, trace, shown, asked, whole, place, totals, piece, like);
}

/** By how much each line has changed from the run as it is. @param {Lab} lab @param {Trace} trace @param {Trace} base @param {Shown} shown @param {Receipt} after @param {Question} asked */
function differenceOf(lab, trace, base, shown, after, asked) {
  const read = record(lab.model, lab.tokenizer, base.text, RECEIPT_READ, base.edit, base.base);
  const was = receiptOf(lab.model, read, asked.first, asked.second, asked.at);
  const direct = after.direct.map((line, part) => line - was.direct[part]);
  const difference = after.difference - was.difference;
  const found = { ...after, direct, adapted: after.adapted.map((line, part) => line - was.adapted[part]), difference, error: Math.abs(direct.reduce((sum, line) => sum + line, 0) - difference) };
  const where = `after token ${shown.query} ${tokenNames(trace.tokens)[shown.query]}, what if − as it is`;
  const most = largestOf(direct.map(Math.abs));
  const says = `${asked.words.join(" against ")}, ${where}: ${changeCell(difference)} nats${direct.some(Boolean) ? `; the line that changes most is ${found.names[most]}, ${changeCell(direct[most], 2)}.` : "; no line changes."}`;
  return { ...pageOf({ ...asked, where }, found, ""), says: readable(says), head: "next", at: shown.query, mode: "direct", texts: "", over: null, code: "", kind: "", instead: "" };
}

/** The receipts of the other texts, each of its own answer. @param {Lab} lab @param {Trace} trace @param {Shown} shown @param {Question} asked @param {Receipt} found @param {import("./donors.js").Stand} place @param {boolean} totals @param {any} piece @param {Around["like"]} like @returns {Generator<Record<string, any>>} */
function* overTexts(lab, trace, shown, asked, found, place, totals, piece, like) {
  if (Object.keys(trace.edit).length) throw new InputError("many texts are read as they are; choose “this text”, or take the changes back");
  const named = (/** @type {Versus} */ token) => {
    const text = typeof token === "number" ? textOf(lab, token) : "";
    return text && lab.tokenizer.encode(text).join() === String(token) ? text : "";
  };
  const names = { answer: named(asked.first), rival: named(asked.second) };
  const cases = like.cases(trace.text, names);
  const { before, texts } = like.code(trace.text, names);
  const name = like.name(cases.length);
  piece = { ...piece, code: codeOf(trace, asked, place, piece.mode, before, texts), texts: name };
  const { n_layer: layers, n_head: heads } = trace.config;
  const places = totals ? placesOfParts(layers, heads) : [];
  const count = partNames(layers, heads).length + 2;
  const several = { name, difference: /** @type {number[]} */ ([]), direct: Array.from({ length: count }, () => new Float64Array(cases.length)), total: Array.from({ length: count }, () => new Float64Array(cases.length)) };
  for (const { number } of places) several.total[number].fill(NaN);
  if (!totals) for (const values of several.total) values.fill(NaN);
  const runs = [];
  for (const [number, one] of cases.entries()) {
    const read = record(lab.model, lab.tokenizer, one.text, RECEIPT_READ);
    const logits = saidAfter(lab.model, read, asked.at);
    const answer = one.answer ? tokenId(lab, one.answer, "answer") : null;
    const rival = one.rival ? tokenId(lab, one.rival, "rival") : null;
    const best = topOf(logits, 2);
    const first = answer ?? /** @type {number} */ (best.find((id) => id !== rival));
    const other = rival ?? /** @type {number} */ (best.find((id) => id !== first));
    const second = typeof asked.second === "number" ? other : asked.second;
    const own = receiptOf(lab.model, read, first, second, asked.at);
    own.direct.forEach((line, part) => (several.direct[part][number] = line));
    several.difference.push(own.difference);
    runs.push({ read, first, second });
    piece = { ...piece, done: number + 1, total: 0 };
    if (number % PARTS_AT_ONCE === 0) yield { receipt: piece };
  }
  const all = cases.length * places.length;
  piece = { ...piece, done: 0, total: all, ...pageOf(asked, found, place.words, several) };
  yield { receipt: piece };
  let done = 0;
  for (const { number, spot, axes } of places) {
    for (const [text, { read, first, second }] of runs.entries()) {
      const logits = saidAfter(lab.model, rerun(lab.model, read, spot, { [spot]: [place.edit(axes, read.ids)] }, [`h.${layers - 1}.resid_post`]), asked.at);
      several.total[number][text] = several.difference[text] - leadOf(logits, first, second);
      if (++done % (4 * PARTS_AT_ONCE)) continue;
      piece = { ...piece, done };
      yield { receipt: piece };
    }
  }
  yield { receipt: { ...piece, done, ...pageOf(asked, found, place.words, several) } };
}

/** When the receipt, or an opened MLP, is made, or stopped: as `PredictionsPanel.asked`. @param {string} job @param {string} changed @param {Shown} shown */
export function receiptAsked(job, changed, shown) {
  const opens = ["opened_mlp", "opened_as"];
  if (!["explaining", "query", "tab", "picture", "question", ...opens].includes(changed) && !changed.startsWith("receipt_")) return "";
  const mode = shown.explaining;
  const open = mode === "direct" || mode === "total";
  if (job === "inside") {
    if (!(shown.opened_mlp >= 0 && open && !shown.picture.difference)) return "stop";
    return changed === "explaining" && shown.inside.rows.length ? "" : "run";
  }
  const { receipt } = shown;
  if (!open) return "stop";
  if (opens.includes(changed) || (changed === "question" && shown.receipt_head !== "answer")) return "";
  if ((changed === "query" || changed === "tab") && (receipt.state === "idle" || receipt.at === shown.query)) return "";
  return changed === "explaining" && receipt.state === "running" && receipt.mode === mode ? "" : "run";
}

/**
 * One MLP's line, opened.
 * @param {Lab} lab @param {Trace} trace @param {Shown} shown @param {Record<string, any>} shut the piece while nothing is opened
 * @returns {Generator<Record<string, any>>}
 */
export function* insideSteps(lab, trace, shown, shut) {
  const { opened_mlp: layer, opened_as: kind } = shown;
  yield { inside: { ...shut, state: "running", layer, kind } };
  const { read, first, second, at } = questionOf(lab, trace, shown, [...RECEIPT_READ, "mlp.post"]);
  const { names, values, line } = openedMlp(lab.model, read, kind, layer, first, second, at);
  const order = bySize(values.map(Math.abs));
  const rows = order.slice(0, INSIDE).map((place) => {
    const neuron = kind === "neurons" && names[place] !== "bias";
    return { name: names[place], value: values[place], ...(neuron ? { spot: `h.${layer}.mlp.post`, axes: { neuron: [place] } } : { spot: "", axes: {} }) };
  });
  const sum = (/** @type {number[]} */ places) => places.reduce((total, place) => total + values[place], 0);
  const rest = order.slice(INSIDE);
  const [most, mlp] = [order[0], `MLP ${layer} (${numberInWords(line)} nats)`];
  const says =
    kind === "neurons"
      ? `${mlp}: its ${names.length - 1} neurons and its bias sum to that; ${names[most]} has most, ${numberInWords(values[most])}, and the largest ${Math.min(INSIDE, names.length)} ${numberInWords(sum(order.slice(0, INSIDE)))}.`
      : `${mlp} would lose most without ${names[most]}: ${numberInWords(values[most])}.`;
  yield { inside: { ...shut, state: "running", layer, kind, rows, rest: [kind === "neurons" ? rest.length : 0, sum(rest)], says, code: shown.receipt.code ? `print(found.${kind}(${layer}))\n` : "" } };
}
