// @ts-check
// Is that all? Only some parts are kept, all others replaced, or the other way round, as bloomlab/lens/keep.py has it:
//
//   share = (value − nothing) / (whole − nothing)         nothing: every part replaced
//
// Beside the parts stand random sets of as many, the same ones that Python draws.
import { InputError, shorten } from "../model/errors.js";
import { mean } from "./lenses.js";
import { Random } from "./random.js";
import { pairInWords } from "./refute.js";
import { changesOf, endOf, measured, quantile, readCase, rounded } from "./trials.js";
import { numberInWords } from "./words.js";

/**
 * @typedef {import("./trials.js").SpotEdits} SpotEdits @typedef {import("../model/edits.js").NamedEdit} NamedEdit
 * @typedef {{name: string, layer: number, head: number | null}} Part a head, or a layer's MLP
 * @typedef {{mode: string, parts: string[], among: string, stands: NamedEdit, said: string}} Wanted `mode`: "keep" or "without"; `stands`: what
 *   stands in the place of a part, and what that is in words
 */

const SETS_OF_EACH = 20; // random ones, of each size

/** All heads of a model and, among "all", its MLPs. @param {import("../model/weights.js").Config} config @param {string} among @returns {Part[]} */
function partsOf({ n_layer: layers, n_head: heads }, among) {
  return Array.from({ length: layers }, (_, layer) => {
    const some = /** @type {Part[]} */ (Array.from({ length: heads }, (_, head) => ({ name: `${layer}.${head}`, layer, head })));
    return among === "heads" ? some : [...some, { name: `mlp ${layer}`, layer, head: null }];
  }).flat();
}

/** The parts of these names. @param {string[]} names @param {Part[]} every */
function readParts(names, every) {
  const found = names.map((name) => {
    const part = every.find((one) => one.name === name.replace(/\s+/g, " ").trim());
    if (!part) throw new InputError(`none of ${every.length} parts is ${shorten(name)}; a head is '3.4', an MLP 'mlp 3'`);
    return part;
  });
  if (new Set(found).size < found.length) throw new InputError(`parts names one of them twice: ${shorten(names)}`);
  return found;
}

/** The edits that put something in the place of these parts. @param {Part[]} replaced @param {NamedEdit} stands @returns {SpotEdits} */
function replacing(replaced, stands) {
  const edits = /** @type {SpotEdits} */ ({});
  const heads = /** @type {Map<number, number[]>} */ (new Map());
  for (const { layer, head } of replaced) {
    if (head === null) edits[`h.${layer}.mlp.out`] = [stands];
    else heads.set(layer, [...(heads.get(layer) ?? []), head]);
  }
  for (const [layer, head] of heads) edits[`h.${layer}.attn.mixed`] = [stands.at({ head })];
  return edits;
}

/**
 * Keep only these parts, or all but these, a run at a time; the last step has the curve.
 * @param {import("./pictures.js").Lab} lab @param {import("./like.js").Case[]} cases @param {string} metric @param {Wanted} wanted
 * @param {(text: string) => void} readAs before a text is read
 */
export function* keptSteps(lab, cases, metric, { mode, parts, among, stands, said }, readAs) {
  const every = partsOf(lab.model.config, among);
  const chosen = readParts(parts, every);
  const random = new Random(0);
  const sizes = chosen.map((_, i) => chosen.slice(0, i + 1));
  const byChance = sizes.map((own) => Array.from({ length: SETS_OF_EACH }, () => another(own)));
  const sets = [[], ...sizes, ...byChance.flat()];
  const jobs = [...sets.map((some) => every.filter((part) => some.includes(part) === (mode === "without"))), every].map((some) => replacing(some, stands));
  const values = jobs.map(() => /** @type {number[]} */ ([]));
  const reads = /** @type {any[]} */ ([]);
  const total = cases.length * (jobs.length + 1);
  for (const one of cases) {
    readAs(one.text);
    const read = readCase(lab, one, metric);
    reads.push(read);
    for (const [place, edits] of jobs.entries()) {
      values[place].push(measured(endOf(lab, read.ids, changesOf(edits)), read.pair, metric));
      yield { done: (reads.length - 1) * (jobs.length + 1) + place + 2, total };
    }
  }
  const [whole, nothing] = [mean(reads.map((read) => read.before)), mean(/** @type {number[]} */ (values.at(-1)))];
  const share = (/** @type {number[]} */ some) => (mean(some) - nothing) / (whole - nothing);
  const chance = byChance.map((some, size) => some.map((_, i) => share(values[1 + sizes.length + size * SETS_OF_EACH + i])));
  const rows = chosen.map(({ name }, i) => {
    const left = share(values[i + 1]);
    return { name: `${i ? "+ " : ""}${name}`, share: Number.isFinite(left) ? rounded(left) : null, dots: chance[i].filter(Number.isFinite).map(rounded) };
  });
  const of = `${every.length} ${among === "heads" ? "heads" : "heads and MLPs"}`;
  yield { done: total, total, kept: { mode, parts: chosen.map(({ name }) => name), instead: said, among: of, rows, sentence: sentence() } };

  /** As many parts at random: another set than this one, if there is another. @param {Part[]} own */
  function another(own) {
    let some = random.sample(every, own.length);
    while (own.length < every.length && some.every((part) => own.includes(part))) some = random.sample(every, own.length);
    return some;
  }

  function sentence() {
    const last = values[chosen.length];
    const alike = reads.every(({ pair }) => pair.join() === reads[0].pair.join());
    const names = chosen.map(({ name }) => name).join(", ");
    const done = mode === "keep" ? `only ${names} kept and the rest of ${of} replaced by ${said}` : `${names} of ${of} replaced by ${said}`;
    const most = chance[chosen.length - 1];
    const best = mode === "keep" ? `at most ${numberInWords(Math.max(...most))}` : `at least ${numberInWords(Math.min(...most))}`;
    let words = `${cases.length > 1 ? `mean of ${cases.length} texts: ` : ""}${pairInWords(lab, alike ? reads[0].pair : null, metric)} ${numberInWords(mean(last))} with ${done}; ${numberInWords(whole)} with all kept, ${numberInWords(nothing)} with none: ${numberInWords(share(last))} of the answer is left, of ${most.length} random sets of as many ${best}`;
    if (cases.length > 1) {
      const against = last.filter((value, i) => (value - (reads[i].before + /** @type {number[]} */ (values.at(-1))[i]) / 2) * (reads[i].before - /** @type {number[]} */ (values.at(-1))[i]) < 0).length;
      words += `; in 8 of 10 texts ${[0.1, 0.9].map((part) => numberInWords(quantile(last, part))).join(" to ")}; in ${against} of ${cases.length} texts less than half is left`;
    }
    return `${words}.`;
  }
}
