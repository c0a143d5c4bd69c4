// @ts-check
// What the dose of a direction does, as bloomlab/lens/direction.py measures it: after the text, to ordinary texts, beside
// random directions of the same length, and to what is written.
import { add } from "../model/edits.js";
import { HookError, InputError, shorten } from "../model/errors.js";
import { hookNames, makeHooks } from "../model/hooks.js";
import { bloom } from "../model/bloom.js";
import { scoresOf } from "../model/causal_lm.js";
import { logSoftmax } from "../model/nn.js";
import { replaced } from "../model/tokens.js";
import { Twister } from "../model/twister.js";
import { shortNumber } from "./code.js";
import { pairInWords, textOfToken } from "./refute.js";
import { endOf, measured, readCase, rounded } from "./trials.js";
import { numberInWords } from "./words.js";
import { GREEDY, Writing } from "./written.js";

/** @typedef {import("./pictures.js").Lab} Lab @typedef {import("../model/edits.js").NamedEdit} NamedEdit */

const DOSES_OF_A_CURVE = [0, 0.5, 1, 2, 4, 8];
const OTHER_DIRECTIONS = 3; // random ones beside it
const MOST_WRITTEN = 12; // tokens at each dose

/** @param {ArrayLike<number>} vector */
const lengthOf = (vector) => Math.hypot(...Array.from(vector));

/** The summed loss of a text's tokens but the first, in nats, and how many they are. @param {Lab} lab @param {number[]} ids @param {string} at @param {NamedEdit[]} edits */
function lossOf(lab, ids, at, edits) {
  const { state } = bloom(lab.model, ids, { hooks: makeHooks({ edit: edits.length ? { [at]: edits.map(({ change }) => change) } : {} }) });
  const { data, shape } = scoresOf(lab.model, state);
  const vocab = /** @type {number} */ (shape.at(-1));
  let sum = 0;
  for (let token = 1; token < ids.length; token++) sum -= logSoftmax(data, (token - 1) * vocab, vocab)[ids[token]];
  return { sum, count: ids.length - 1 };
}

/**
 * The curve of a direction's dose, dose by dose; each step that ends a dose has the curve so far.
 * @param {Lab} lab @param {{spot: string, edit: NamedEdit}} direction @param {import("./like.js").Case} one the text, and what is compared after it
 * @param {string} metric @param {ReturnType<import("./donors.js").makeDonors>} donors
 */
export function* curveSteps(lab, { spot, edit }, one, metric, donors) {
  const [first, second] = /** @type {NonNullable<NamedEdit["direction"]>} */ (edit.direction).ends;
  if (hookNames(lab.model.config.n_layer).get(spot) !== "batch pos hidden") throw new HookError(`a direction is added to states, at a spot such as 'h.1.resid_post', but got ${shorten(spot)}`);
  const texts = [...first, ...second].map((text) => lab.tokenizer.encode(text));
  if (!texts.some((ids) => ids.length > 1)) throw new InputError("the ordinary texts have one token each, so there is no loss to measure; name longer ones");
  const read = readCase(lab, one, metric);
  const vector = donors.between(first, second, spot);
  if (!vector.some(Boolean)) throw new InputError("the two sets of texts have the same mean there, so there is no direction; name other texts");
  const size = lengthOf(vector) / donors.lengthAt(first, spot);
  const noise = new Twister(0).normal(OTHER_DIRECTIONS * vector.length);
  const random = Array.from({ length: OTHER_DIRECTIONS }, (_, i) => noise.subarray(i * vector.length, (i + 1) * vector.length));
  const vectors = [vector, ...random.map((own) => own.map((value) => (value / lengthOf(own)) * lengthOf(vector)))];
  const limit = Math.log(lab.model.config.vocab_size);
  const answers = read.pair.map((id) => textOfToken(lab, id));
  const total = DOSES_OF_A_CURVE.length * vectors.length;
  const rows = /** @type {{dose: number, target: number, loss: number, written: string, dots: number[], losses: number[]}[]} */ ([]);
  for (const [place, dose] of DOSES_OF_A_CURVE.entries()) {
    const found = /** @type {{target: number, loss: number}[]} */ ([]);
    for (const [column, own] of (dose ? vectors : vectors.slice(0, 1)).entries()) {
      const step = add(own.map((value) => dose * value), edit.where);
      const target = measured(endOf(lab, read.ids, { [spot]: [step.change] }), read.pair, metric);
      let [sum, count] = [0, 0];
      for (const [number, ids] of texts.entries()) {
        const loss = lossOf(lab, ids, spot, [step]);
        [sum, count] = [sum + loss.sum, count + loss.count];
        if (number % 2) yield { done: place * vectors.length + column, total };
      }
      found.push({ target: rounded(target), loss: rounded(sum / count) });
    }
    const [own, ...others] = dose ? found : vectors.map(() => found[0]); // without a dose nothing is added, whatever the direction
    const written = write(lab, read.ids, spot, add(vector.map((value) => dose * value), edit.where));
    rows.push({ dose, ...own, written, dots: others.map(({ target }) => target), losses: others.map(({ loss }) => loss) });
    yield { done: (place + 1) * vectors.length, total, curve: { answer: answers[0], rival: answers[1], size: rounded(size), limit: rounded(limit), "falls apart": apartAt(), rows: rows.slice(), sentence: sentence() } };
  }

  function apartAt() {
    return rows.find(({ loss }) => loss > limit)?.dose ?? null;
  }

  function sentence() {
    const ahead = metric === "probability" ? 0.5 : 0;
    const turns = rows[0].target > ahead ? undefined : rows.find(({ dose, target }) => dose > 0 && target > ahead);
    const here = turns ?? rows[rows.length - 1];
    const falls = apartAt();
    const apart = falls === null ? `up to dose ${shortNumber(rows[rows.length - 1].dose)} the text does not fall apart` : `at dose ${shortNumber(falls)} the text falls apart`;
    return (
      `dose ${shortNumber(here.dose)} (${Math.round(100 * here.dose * size)}% of a state's length at ${spot}) ${turns ? "turns the answer" : "does not turn the answer"}: ${pairInWords(lab, read.pair, metric, "-")} ` +
      `${numberInWords(rows[0].target)} → ${numberInWords(here.target)}, with ${here.dots.length} random directions of this length ${numberInWords(Math.min(...here.dots))} to ${numberInWords(Math.max(...here.dots))}; ` +
      `ordinary text costs ${numberInWords(rows[0].loss)} → ${numberInWords(here.loss)} nats a token; ${apart} (more than ${limit.toFixed(2)} nats).`
    );
  }
}

/** How the model goes on after a text, greedily. @param {Lab} lab @param {number[]} ids @param {string} spot @param {NamedEdit} edit */
function write(lab, ids, spot, edit) {
  const writing = new Writing(lab, { text: "", ids, config: lab.model.config, edit: { [spot]: [edit] } }, GREEDY);
  for (let count = 0; count < MOST_WRITTEN && !writing.ends(writing.at); count++) writing.step();
  const own = writing.ids(writing.at).slice(ids.length).filter((id) => !lab.special.includes(id));
  return replaced(lab.tokenizer.bytesOfIds(own));
}
