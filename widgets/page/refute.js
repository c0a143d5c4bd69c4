// @ts-check
// An edit among the controls that could refute what it seems to show, as bloomlab/lens/refute.py has it, with the same
// random numbers.
import { Twister } from "../model/twister.js";
import { repr } from "./code.js";
import { copyOf } from "./edit_list.js";
import { mean } from "./lenses.js";
import { Random } from "./random.js";
import { changesOf, endOf, measured, quantile, readCase } from "./trials.js";
import { numberInWords } from "./words.js";

/**
 * @typedef {import("./trials.js").SpotEdits} SpotEdits @typedef {import("./trials.js").Read} Read
 * @typedef {import("../model/hooks.js").Edit} Edit @typedef {import("../model/edits.js").NamedEdit} NamedEdit
 * @typedef {Record<string, Edit[]>} Changes
 * @typedef {{kind: string, name: string, before: number, after: number}} Control
 * @typedef {{kind: string, name: string, at: number, edit: Changes}} Job
 */

const [RANDOM, HEADS, PLACES, SAME, DOSES, TEXTS] = ["random directions", "other heads", "other places", "same answer", "doses", "other texts"];
const CONTROLS = [RANDOM, HEADS, PLACES, SAME];
const FEWER = 0.5; // of the claim's change: a control that has as much of it is said
const ROUNDING = 1e-4; // a smaller change is none
const MOST_PLACES = 64;
const RUNS = 20; // random directions, and at most so many texts with the same answer

const isHeld = (/** @type {NamedEdit} */ { name }) => name === "hold";

/** @param {SpotEdits} edits @param {(edit: NamedEdit) => Edit} change @returns {Changes} */
const each = (edits, change) => Object.fromEntries(Object.entries(edits).map(([spot, several]) => [spot, several.map((edit) => (isHeld(edit) ? edit.change : change(edit)))]));

/** The edits as they are in a case: `copied` copies from its other text. @param {SpotEdits} edits @param {import("./like.js").Case} one @param {ReturnType<import("./donors.js").makeDonors>} donors @returns {SpotEdits} */
export function inCase(edits, { other }, donors) {
  if (!other) return edits;
  return Object.fromEntries(Object.entries(edits).map(([spot, several]) => [spot, several.map((edit) => (edit.copies ? copyOf(donors, other, edit.copies.columns, edit.where) : edit))]));
}

/** The same change, so many times as large. @param {NamedEdit} edit @param {number} dose @returns {Edit} */
function dosed({ change }, dose) {
  return (tensor, at) => {
    const { data } = change(tensor, at);
    return { data: data.map((value, i) => tensor.data[i] + dose * (value - tensor.data[i])), shape: tensor.shape };
  };
}

/** A change of the same size in a random direction: each vector of the last axis keeps its length. @param {NamedEdit} edit @param {number} seed @returns {Edit} */
function turned({ change }, seed) {
  return (tensor, at) => {
    const after = change(tensor, at).data;
    const noise = new Twister(seed).normal(tensor.data.length);
    const width = /** @type {number} */ (tensor.shape.at(-1));
    const data = tensor.data.slice();
    for (let first = 0; first < data.length; first += width) {
      let [size, length] = [0, 0];
      for (let i = first; i < first + width; i++) {
        size += (after[i] - tensor.data[i]) ** 2;
        length += noise[i] ** 2;
      }
      if (size) for (let i = first; i < first + width; i++) data[i] += noise[i] * Math.sqrt(size / length);
    }
    return { data, shape: tensor.shape };
  };
}

/** The indices that all edits name on one of these axes, or why there are none. @param {NamedEdit[]} every @param {string[]} axes @returns {number[] | string} */
function chosenOn(every, axes) {
  const listed = (/** @type {import("../model/edits.js").Index} */ index) => (typeof index === "number" ? [index] : Array.isArray(index) ? index : []);
  const named = every.filter(({ where }) => axes.some((axis) => axis in where));
  const sets = new Set(named.flatMap(({ where }) => axes.filter((axis) => axis in where).map((axis) => [...new Set(listed(where[axis]))].sort((one, other) => one - other).join())));
  if (sets.size === 1 && sets.has("")) return `the edit names its ${axes[0]} by a slice; write the numbers out`;
  if (sets.size !== 1 || named.length !== every.length || sets.has("")) return sets.size ? `not every edit names the same ${axes[0]}` : `the edit names no ${axes.join(" or ")}`;
  return [...sets][0].split(",").map(Number);
}

/** Other sets of as many indices: all of them if there are few, else some that are drawn. @param {number} size @param {number[]} chosen @param {number} most @param {Random} random */
function otherSets(size, chosen, most, random) {
  const all = Array.from({ length: size }, (_, i) => i);
  if (chosen.length === 1 && size - 1 <= most) return all.filter((i) => i !== chosen[0]).map((i) => [i]);
  let sets = 1; // how many there are
  for (let i = 0; i < chosen.length; i++) sets = (sets * (size - i)) / (i + 1);
  const found = /** @type {Map<string, number[]>} */ (new Map());
  for (let tried = 0; tried < 20 * most; tried++) {
    const other = random.sample(all, chosen.length).sort((one, two) => one - two);
    if (other.join() !== chosen.join()) found.set(other.join(), other);
    if (found.size === Math.min(most, Math.round(sets) - 1)) break;
  }
  return [...found.values()];
}

/** The controls of an edit, and why others are missing. @param {SpotEdits} edits @param {number} heads @param {number} columns @param {string[]} alike texts of as many tokens after which the model says the same @param {ReturnType<import("./donors.js").makeDonors>} donors */
function plan(edits, heads, columns, alike, donors) {
  const every = Object.values(edits).flat().filter((edit) => !isHeld(edit));
  const random = new Random(0);
  const planned = /** @type {[string, string, Changes][]} */ ([]);
  const missing = /** @type {Record<string, string>} */ ({});
  const spots = Object.keys(edits);
  if (spots.some((spot) => spot.endsWith(".attn.biased"))) missing[RANDOM] = missing[DOSES] = "a change of attn.biased has no size";
  else {
    const ahead = spots.some((spot) => spot.endsWith(".attn.probs"));
    if (ahead) missing[RANDOM] = "a random change of attn.probs would look ahead";
    for (let k = 0; k < (ahead ? 0 : RUNS); k++) planned.push([RANDOM, `random ${k}`, each(edits, (edit) => turned(edit, k))]);
    for (const dose of [0.5, 2]) planned.push([DOSES, `dose ${dose}`, each(edits, (edit) => dosed(edit, dose))]);
  }
  for (const [kind, axes, size, most] of /** @type {[string, string[], number, number][]} */ ([[HEADS, ["head"], heads, heads], [PLACES, ["query", "pos"], columns, MOST_PLACES]])) {
    const chosen = chosenOn(every, axes);
    if (typeof chosen === "string") {
      missing[kind] = chosen;
      continue;
    }
    for (const other of otherSets(size, chosen, most, random)) {
      const index = other.length === 1 ? other[0] : other;
      const moved = (/** @type {NamedEdit} */ edit) => edit.at(Object.fromEntries(Object.entries(edit.where).map(([axis, old]) => [axis, axes.includes(axis) ? index : old]))).change;
      planned.push([kind, `${kind === HEADS ? "head" : "token"} ${other.join(", ")}`, each(edits, moved)]);
    }
  }
  if (!alike.length) missing[SAME] = "no text of as many tokens has the same answer";
  for (const text of random.sample(alike, Math.min(RUNS, alike.length))) planned.push([SAME, text, each(edits, ({ where }) => copyOf(donors, text, null, where).change)]);
  return { planned, missing };
}

/**
 * Run an edit's controls, one after the other; each step has the table as it stands.
 * @param {import("./pictures.js").Lab} lab @param {SpotEdits} edits @param {string} said the edits in words
 * @param {import("./like.js").Case[]} cases the text that is shown, and the others @param {string} metric
 * @param {boolean} everywhere @param {ReturnType<import("./donors.js").makeDonors>} donors
 * @param {(text: string) => void} readAs before a text is read @param {string} why there are no other texts
 */
export function* refuteSteps(lab, edits, said, cases, metric, everywhere, donors, readAs, why) {
  const reads = /** @type {Read[]} */ ([]);
  for (const one of cases) {
    readAs(one.text);
    reads.push(readCase(lab, one, metric));
    yield { done: reads.length, total: 2 * cases.length };
  }
  const [first] = reads;
  const same = reads.slice(1).filter(({ ids, said: next }) => next === first.said && ids.length === first.ids.length && ids.join() !== first.ids.join());
  const jobs = /** @type {Job[]} */ ([{ kind: "", name: "", at: 0, edit: changesOf(edits) }]);
  let missing = /** @type {Record<string, string>} */ ({});
  reads.slice(0, everywhere ? reads.length : 1).forEach((read, at) => {
    const here = at ? inCase(edits, read.one, donors) : edits;
    const made = plan(here, lab.model.config.n_head, read.ids.length, at ? [] : same.map(({ one }) => one.text), donors);
    for (const [kind, name, edit] of made.planned) jobs.push({ kind, name, at, edit });
    if (!at) missing = made.missing;
  });
  reads.forEach(({ one }, at) => {
    if (at) jobs.push({ kind: TEXTS, name: one.text, at, edit: changesOf(inCase(edits, one, donors)) });
  });
  const runs = /** @type {Control[]} */ ([]);
  for (const { kind, name, at, edit } of jobs) {
    readAs(reads[at].one.text);
    runs.push({ kind, name, before: reads[at].before, after: measured(endOf(lab, reads[at].ids, edit), reads[at].pair, metric) });
    yield { done: reads.length + runs.length, total: reads.length + jobs.length, refuted: tableOf(runs, { said, metric, answer: textOfToken(lab, first.pair[0]), rival: textOfToken(lab, first.pair[1]), everywhere, missing, why }) };
  }
}

/** @param {import("./pictures.js").Lab} lab @param {number} id */
export const textOfToken = ({ tokenizer }, id) => new TextDecoder().decode(tokenizer.bytesOfIds([id]));

/** What is measured, in words. @param {[string, string] | null} tokens null where texts have several @param {string} metric @param {string} [less] */
function measureInWords(tokens, metric, less = "less") {
  const [answer, rival] = tokens ? tokens.map(repr) : ["answer", "rival"];
  return metric === "probability" ? `p(${answer})` : `logit of ${answer} ${less} ${rival}`;
}

/** The same, of two ids. @param {import("./pictures.js").Lab} lab @param {[number, number] | null} pair @param {string} metric @param {string} [less] */
export const pairInWords = (lab, pair, metric, less) => measureInWords(pair && [textOfToken(lab, pair[0]), textOfToken(lab, pair[1])], metric, less);

/** @param {Control[]} runs @returns {Control} */
const meanOf = (runs) => ({ ...runs[0], before: mean(runs.map(({ before }) => before)), after: mean(runs.map(({ after }) => after)) });

const counted = (/** @type {number} */ count, /** @type {string} */ kind) => `${count} ${count === 1 ? kind.replace(/s$/, "") : kind}`;

/**
 * The table of the runs that are there; those of one kind and name, in several texts, as their mean.
 * @param {Control[]} runs @param {{said: string, metric: string, answer: string, rival: string, everywhere: boolean, missing: Record<string, string>, why: string}} about
 */
function tableOf(runs, { said, metric, answer, rival, everywhere, missing, why }) {
  const texts = runs.filter(({ kind }) => kind === TEXTS);
  const groups = /** @type {Map<string, Control[]>} */ (new Map());
  for (const run of runs) if (run.kind !== TEXTS) groups.set(`${run.kind}\n${run.name}`, [...(groups.get(`${run.kind}\n${run.name}`) ?? []), run]);
  if (everywhere) groups.get("\n")?.push(...texts);
  const [claim, ...rest] = [...groups.values()].map(meanOf);
  const controls = [...rest, ...texts];
  const of = (/** @type {string} */ kind) => controls.filter((one) => one.kind === kind);
  const change = claim.after - claim.before;
  const far = controls.filter((one) => CONTROLS.includes(one.kind) && (one.after - one.before) * change >= FEWER * change ** 2);
  const total = controls.filter(({ kind }) => CONTROLS.includes(kind)).length;
  return {
    before: claim.before,
    after: claim.after,
    rows: [...CONTROLS, DOSES, TEXTS].map((kind) => {
      const dots = of(kind).map(({ name, before, after }) => [name, before, after]);
      return { kind, dots, why: dots.length ? "" : (missing[kind] ?? (kind === TEXTS ? why : "")) };
    }),
    sentence: sentence(),
    everywhere,
    "as far": Math.abs(change) < ROUNDING ? 0 : far.length,
    controls: total,
  };

  function sentence() {
    const shown = measureInWords(everywhere ? null : [answer, rival], metric);
    let words = `${everywhere ? `mean of ${texts.length + 1} texts: ` : ""}${shown} ${numberInWords(claim.before)} → ${numberInWords(claim.after)} with ${said}`;
    if (Math.abs(change) < ROUNDING) return `${words}: the edit changes nothing, so there is nothing to refute.`;
    const furthest = (/** @type {string} */ kind) => of(kind).reduce((most, one) => ((one.after - one.before) * Math.sign(change || 1) > (most.after - most.before) * Math.sign(change || 1) ? one : most));
    const parts = CONTROLS.filter((kind) => of(kind).length).map((kind) => `${counted(of(kind).length, kind)} ${change > 0 ? "≤" : "≥"} ${numberInWords(furthest(kind).after)}`);
    if (parts.length) words += `; ${far.length} of ${total} controls have half of this change or more${far.length ? ` (such as ${far[0].name}: ${numberInWords(far[0].after)})` : ""}: ${parts.join(", ")}`;
    if (of(DOSES).length) words += `; ${of(DOSES).map(({ name, after }) => `${name} ${numberInWords(after)}`).join(", ")}`;
    if (texts.length) {
      const against = texts.filter((one) => (one.after - one.before) * change <= 0).length;
      const after = texts.map((one) => one.after);
      words += `; in ${texts.length - against} of ${texts.length} other texts the same way, on average ${numberInWords(mean(texts.map(({ before }) => before)))} → ${numberInWords(mean(after))} (10 to 90 %: ${[0.1, 0.9].map((share) => numberInWords(quantile(after, share))).join(" to ")})`;
    }
    return `${words}.`;
  }
}
