// @ts-check
// What a view's edits are worth, as bloomlab/views/worth.py measures it: the four results of what can stand in the place,
// in one text or in many; the controls; what is left with parts held or kept; a dose. Plain data for the page, a step at a time.
import { BloomlabError, HookError, inWords, InputError } from "../model/errors.js";
import { logSoftmax } from "../model/nn.js";
import { zero } from "../model/edits.js";
import { record, resolve } from "../model/trace.js";
import { curveSteps } from "./direction.js";
import { COPIED, copyOf, editsOn, lastDirection, words } from "./edit_list.js";
import { heldSteps } from "./held.js";
import { keptSteps } from "./keep.js";
import { kl, mean } from "./lenses.js";
import { inCase, refuteSteps } from "./refute.js";
import { tokenId } from "./receipt.js";
import { changesOf, endOf, measured, movedMost, quantile, readCase, rounded } from "./trials.js";

/**
 * @typedef {import("./pictures.js").Lab} Lab @typedef {import("./edit_list.js").EditList} EditList
 * @typedef {import("../model/edits.js").NamedEdit} NamedEdit
 * @typedef {import("./trials.js").SpotEdits} SpotEdits
 * @typedef {{text: string, list: EditList, donor: string, metric: string, answer: string, rival: string, many: boolean}} Asked
 *   `donor`: the text to copy from, if one is at hand; `answer`, `rival`: "" for the tokens whose chance changes most
 * @typedef {{parts: string[], among: string, instead: string}} Parts those that are kept or taken out, among which, and what stands in the place of a part
 */

const INSTEAD = ["zero", "usual", "drawn", "copied"];
const MOST_TEXTS = 64; // like one
const UNASKED = 2 ** 34; // parameters × columns that are measured unasked
const AT_ONCE = 2; // texts that are read between two pictures of the page

/** By the exact names of their spots. @param {EditList} list @param {number} layers @returns {SpotEdits} */
function bySpots(list, layers) {
  const found = /** @type {SpotEdits} */ ({});
  for (const [name, several] of Object.entries(editsOn(list))) for (const spot of resolve(name, layers)) found[spot] = [...(found[spot] ?? []), ...several];
  return found;
}

/** A number of three digits, as Python's :.3g writes it. @param {number} value */
function threeDigits(value) {
  const power = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3)))));
  if (power < -4 || power >= 3) return value.toExponential(2).replace(/\.?0+e/, "e").replace(/e([+-])(\d)$/, "e$10$2");
  return String(Number(value.toPrecision(3)));
}

/**
 * @param {Lab} lab @param {ReturnType<import("./donors.js").makeDonors>} donors @param {ReturnType<import("./like.js").makeLike>} like
 * @param {(text: string) => void} readAs is told which text is read next: what is drawn depends on it
 */
export function makeWorth(lab, donors, like, readAs) {
  const { n_layer: layers } = lab.model.config;
  const idsOf = (/** @type {string} */ text) => lab.tokenizer.encode(text);

  /** The one text that the edits copy from, else the donor. @param {Asked} asked */
  function copiesOf({ list, donor }) {
    const texts = new Set(Object.values(editsOn(list)).flat().flatMap(({ copies }) => (copies ? [copies.text] : [])));
    return texts.size === 1 ? [...texts][0] : texts.size ? "" : donor;
  }

  /** The text itself as a case, the others, and why there are none. @param {Asked} asked */
  function textsOf(asked) {
    const { text, answer, rival, many } = asked;
    const first = { text, other: "", answer, rival };
    try {
      return { first, others: like.cases(text, { other: copiesOf(asked), answer, rival }), why: "" };
    } catch (error) {
      if (many || !(error instanceof BloomlabError)) throw error;
      return { first, others: [], why: error.message };
    }
  }

  /** The text itself and, if many are asked for, the others. @param {Asked} asked */
  function casesOf(asked) {
    const { first, others } = textsOf(asked);
    return [first, ...(asked.many ? others : [])];
  }

  /** What the like texts have where an edit is made is read first, a few at a time, so that the page listens. @param {string} text @param {string[]} spots */
  function* readOthers(text, spots) {
    let texts;
    try {
      ({ texts } = like.setOf(text));
    } catch {
      return;
    }
    for (const spot of spots) {
      for (const [number, other] of texts.entries()) {
        donors.read(other, spot);
        if (number % AT_ONCE === 0) yield {};
      }
    }
  }

  /** How much an edit changes where it is made, in words, and whether nothing changes there, exactly. @param {Asked} asked @param {SpotEdits} edits */
  function dose({ text, list }, edits) {
    const spots = Object.keys(edits);
    readAs(text);
    const before = record(lab.model, lab.tokenizer, text, spots);
    const after = record(lab.model, lab.tokenizer, text, spots, editsOn(list), before);
    const moved = spots.map((spot) => {
      const [one, other] = [before.read(spot).data, after.read(spot).data];
      return { spot, places: Array.from(one.keys()).filter((i) => one[i] !== other[i]) };
    });
    const count = moved.reduce((sum, { places }) => sum + places.length, 0);
    if (!count) return { nothing: true, doses: [] };
    if (list.entries.length - list.off.length !== 1) return { nothing: false, doses: [] };
    const valuesOf = (/** @type {(spot: string) => Float32Array} */ from) => Float64Array.from(moved.flatMap(({ spot, places }) => places.map((i) => from(spot)[i])));
    const length = (/** @type {Float64Array} */ values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
    const now = valuesOf((spot) => after.read(spot).data);
    const sizes = [valuesOf((spot) => before.read(spot).data), now].map(length);
    let words = `${count.toLocaleString("en")} number${count === 1 ? "" : "s"}`;
    if (!sizes.every(Number.isFinite)) return { nothing: false, doses: [words] };
    words += `, length ${threeDigits(sizes[0])} → ${threeDigits(sizes[1])}`;
    try {
      const set = like.setOf(text);
      const others = set.texts.map((other) => valuesOf((spot) => donors.read(other, spot).data));
      const usual = others.reduce((sum, values) => sum.map((value, i) => value + values[i] / others.length), new Float64Array(count));
      const far = (/** @type {Float64Array} */ values) => length(values.map((value, i) => value - usual[i]));
      const own = far(now);
      words += `, further out than ${Math.round((100 * others.filter((values) => far(values) < own).length) / others.length)}% of what ${set.name} have there`;
    } catch (error) {
      if (!(error instanceof BloomlabError)) throw error; // there are no texts like this one
    }
    return { nothing: false, doses: [words] };
  }

  /** The edits as they are, and with what else could stand in the place of the last of them. @param {Asked} asked @param {SpotEdits} edits @returns {[string, SpotEdits][]} */
  function ways(asked, edits) {
    const { list, text } = asked;
    const place = list.entries.findLastIndex(({ spot, edit }, number) => !list.off.includes(number) && !edit.direction && edit.name !== "hold" && COPIED.some((part) => spot === part || spot.endsWith(`.${part}`)));
    const found = /** @type {[string, SpotEdits][]} */ ([["made", edits]]);
    if (place < 0) return found;
    const { edit } = list.entries[place];
    for (const kind of INSTEAD) {
      const one = instead(kind, asked, edit);
      if (!one) continue;
      const entries = list.entries.map((entry, number) => (number === place ? { ...entry, edit: one } : entry));
      found.push([kind, bySpots({ ...list, entries }, layers)]);
    }
    return found;

    /** @param {string} kind @param {Asked} asked @param {NamedEdit} edit */
    function instead(kind, asked, { where, copies, ...rest }) {
      if (kind === "zero") return zero(where);
      if (kind === "copied") {
        if (copies) return { where, copies, ...rest };
        const other = copiesOf(asked);
        return other && idsOf(other).length === idsOf(text).length ? copyOf(donors, other, null, where) : null;
      }
      try {
        return donors[/** @type {"usual"} */ (kind)](like.setOf(text), where, () => idsOf(reading));
      } catch (error) {
        if (!(error instanceof BloomlabError)) throw error;
        return null;
      }
    }
  }

  let reading = "";
  const readNow = (/** @type {string} */ text) => {
    reading = text;
    readAs(text);
  };

  /** With the tokens that are compared: those that were named, or those whose chance changes most. @param {Asked} asked @param {Float32Array} before @param {Float32Array} after @returns {Asked} */
  function withTokens(asked, before, after) {
    let [answer, rival] = movedMost(lab, before, after);
    if (asked.answer) {
      tokenId(lab, asked.answer, "answer");
      if (answer !== asked.answer) rival = answer;
    }
    if (asked.rival) tokenId(lab, asked.rival, "rival");
    const named = { ...asked, answer: asked.answer || answer, rival: asked.rival || rival };
    if (named.answer === named.rival) throw new InputError("answer and rival are the same token, so their difference is always 0; name two");
    return named;
  }

  return {
    /** Whether it is measured unasked. @param {string} text */
    cheap: (text) => lab.parameters * idsOf(text).length * (MOST_TEXTS + 6) < UNASKED,

    /** The four results of what can stand in the place of the last edit, beside the edits as they are. @param {Asked} given @returns {Generator<Record<string, any>>} */
    *compared(given) {
      yield { state: "running", doing: "compare", done: 0, total: 1, message: "" };
      const edits = bySpots(given.list, layers);
      if (given.list.entries.length - given.list.off.length === 1) yield* readOthers(given.text, Object.keys(edits));
      yield dose(given, edits);
      const ids = idsOf(given.text);
      readNow(given.text);
      const [before, after] = [endOf(lab, ids, {}), endOf(lab, ids, changesOf(edits))];
      yield {};
      const asked = withTokens(given, before, after);
      const { first, others } = textsOf(asked);
      const cases = [first, ...(asked.many ? others : [])];
      const each = ways(asked, edits);
      const pair = /** @type {[number, number]} */ ([asked.answer, asked.rival].map((token) => idsOf(token)[0]));
      const facts = /** @type {Record<string, number>} */ ({});
      for (const [name, metric] of [["logit difference", "logit difference"], ["p", "probability"]]) {
        facts[`${name} before`] = rounded(measured(before, pair, metric));
        facts[`${name} after`] = rounded(measured(after, pair, metric));
      }
      facts.KL = rounded(kl(logSoftmax(before), logSoftmax(after)));
      const about = { metric: asked.metric, answer: asked.answer, rival: asked.rival, others: others.length, texts: asked.many ? `this text and ${like.name(cases.length - 1)}` : "", facts };
      const reads = /** @type {any[]} */ ([]);
      const total = cases.length * (1 + each.length);
      for (const one of cases) {
        readNow(one.text);
        reads.push(readCase(lab, one, asked.metric));
        yield { ...about, done: reads.length, total };
      }
      const lines = [];
      const refused = [];
      const [start] = [mean(reads.map((read) => read.before))];
      for (const [name, way] of each) {
        const values = /** @type {number[]} */ ([]);
        try {
          for (const [number, { ids: row, pair: tokens, one }] of reads.entries()) {
            readNow(one.text);
            values.push(measured(endOf(lab, row, changesOf(number ? inCase(way, one, donors) : way)), tokens, asked.metric));
            yield { ...about, done: reads.length * (1 + lines.length + refused.length) + values.length, total };
          }
        } catch (error) {
          if (!(error instanceof BloomlabError)) throw error;
          refused.push({ name, value: null, why: inWords(error) }); // another way may well be possible
          continue;
        }
        const changes = values.map((value, i) => value - reads[i].before);
        const middle = mean(changes);
        lines.push({ name, value: rounded(mean(values)), ...(asked.many ? { low: rounded(quantile(values, 0.1)), high: rounded(quantile(values, 0.9)), against: changes.filter((change) => change * middle <= 0).length, dots: values.map(rounded) } : {}) });
        yield { ...about, done: reads.length * (1 + lines.length + refused.length), total, before: rounded(start), lines: [...lines, ...refused] };
      }
      yield { ...about, done: total, total, before: rounded(start), lines: [...lines, ...refused] };
    },

    /** The edits among their controls. @param {Asked} given @param {string} answer @param {string} rival @returns {Generator<Record<string, any>>} */
    *refuted(given, answer, rival) {
      yield { state: "running", doing: "refute", done: 0, total: 1, message: "" };
      const asked = { ...given, answer, rival };
      const edits = bySpots(asked.list, layers);
      const { first, others, why } = textsOf(asked);
      const said = asked.list.entries.filter((_, number) => !asked.list.off.includes(number)).map(words).join(", ");
      const columns = idsOf(first.text).length;
      const uneven = others.find(({ text }) => idsOf(text).length !== columns);
      if (uneven) throw new HookError(`the controls need texts of ${columns} tokens each, but ${uneven.text} has others`);
      yield* refuteSteps(lab, edits, said, [first, ...others], asked.metric, asked.many && others.length > 0, donors, readNow, why);
    },

    /** What is left of the change with each part that noticed it held as it was. @param {Asked} asked @param {string} answer @param {string} rival @returns {Generator<Record<string, any>>} */
    *held(asked, answer, rival) {
      yield { state: "running", doing: "held", done: 0, total: 1, message: "" };
      yield* heldSteps(lab, bySpots(asked.list, layers), casesOf({ ...asked, answer, rival }), asked.metric, donors, readNow);
    },

    /** How much of the answer some parts keep by themselves, or how much is left when they are gone. @param {Asked} asked @param {string} answer @param {string} rival @param {string} mode @param {Parts} parts @returns {Generator<Record<string, any>>} */
    *kept(asked, answer, rival, mode, { parts, among, instead }) {
      yield { state: "running", doing: mode, done: 0, total: 1, message: "" };
      const cases = casesOf({ ...asked, answer, rival });
      let [stands, said] = [zero(), "zeros"];
      if (instead !== "zero") {
        const set = like.setOf(asked.text);
        stands = donors[/** @type {"usual"} */ (instead)](set, {}, () => idsOf(reading));
        said = `what ${instead === "usual" ? "is usual in" : "is drawn from"} ${set.name}`;
      }
      yield* keptSteps(lab, cases, asked.metric, { mode, parts, among, stands, said }, readNow);
    },

    /** What each dose of the last direction does by itself. @param {Asked} asked @param {string} answer @param {string} rival @returns {Generator<Record<string, any>>} */
    *curve(asked, answer, rival) {
      const found = lastDirection(asked.list);
      if (!found) throw new InputError("no direction is added here, so there is no dose to measure");
      yield { state: "running", doing: "curve", done: 0, total: 1, message: "" };
      const { spot, edit } = found.entry;
      readNow(asked.text);
      if (!(asked.answer || asked.rival)) { // of the two whose chance moves most, the one that it makes likelier
        const ids = idsOf(asked.text);
        const pair = /** @type {[number, number]} */ ([answer, rival].map((token) => idsOf(token)[0]));
        const [before, after] = [{}, changesOf(bySpots({ ...asked.list, entries: [found.entry], off: [] }, layers))].map((edits) => measured(endOf(lab, ids, edits), pair, "logit difference"));
        if (after < before) [answer, rival] = [rival, answer];
      }
      yield* curveSteps(lab, { spot, edit }, { text: asked.text, other: "", answer, rival }, asked.metric, donors);
    },
  };
}
