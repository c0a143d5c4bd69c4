// @ts-check
// By which way does a change take effect? Each part that noticed it is held as it was while the edits are on, as
// bloomlab/lens/held.py has it. What the change no longer does then went by way of that part.
import { hold } from "../model/edits.js";
import { record } from "../model/trace.js";
import { noticed } from "./attention.js";
import { mean, vectorOf } from "./lenses.js";
import { pairInWords, inCase } from "./refute.js";
import { changesOf, endOf, measured, quantile, readCase, rounded } from "./trials.js";
import { bySize, numberInWords } from "./words.js";

/**
 * @typedef {import("../model/trace.js").Trace} Trace @typedef {import("./trials.js").SpotEdits} SpotEdits
 * @typedef {{part: string, way: string, spot: string, where: import("../model/edits.js").Where}} Way a part, as a whole or by what it asks, offers or passes on
 */

const MOST_HELD = 5; // heads, and MLPs
const WAYS = /** @type {Record<string, string>} */ ({ whole: "attn.mixed", q: "attn.q", k: "attn.k", v: "attn.v" });

/** How far a part has moved: the largest change of a token's vector, as a share of its length. @param {Trace} before @param {Trace} after @param {string} spot */
function movedAt(before, after, spot) {
  let most = 0;
  before.ids.forEach((_, token) => {
    const [one, other] = [before, after].map((run) => vectorOf(run.read(spot), token));
    const length = Math.hypot(...one);
    const moved = Math.hypot(...other.map((value, i) => value - one[i]));
    if (moved) most = Math.max(most, moved / length);
  });
  return most;
}

/** The parts that moved most between two runs, each with its ways. @param {Trace} before @param {Trace} after @returns {Way[]} */
function waysOf(before, after) {
  const heads = noticed(after, before).noticed.slice(0, MOST_HELD).flatMap(([layer, head]) => Object.entries(WAYS).map(([way, spot]) => ({ part: `head ${layer}.${head}`, way, spot: `h.${layer}.${spot}`, where: { head } })));
  const moved = Array.from({ length: before.config.n_layer }, (_, layer) => movedAt(before, after, `h.${layer}.mlp.out`));
  const mlps = bySize(moved).slice(0, MOST_HELD).filter((layer) => moved[layer] > 0);
  return [...heads, ...mlps.map((layer) => ({ part: `MLP ${layer}`, way: "whole", spot: `h.${layer}.mlp.out`, where: {} }))];
}

/**
 * Hold each part that noticed the edits, a run at a time; the last step has what is left.
 * @param {import("./pictures.js").Lab} lab @param {SpotEdits} edits @param {import("./like.js").Case[]} cases the text, whose parts are looked at, and others
 * @param {string} metric @param {ReturnType<import("./donors.js").makeDonors>} donors @param {(text: string) => void} readAs before a text is read
 */
export function* heldSteps(lab, edits, cases, metric, donors, readAs) {
  const spots = ["attn.probs", "mlp.out", ...Object.keys(edits)];
  readAs(cases[0].text);
  const before = record(lab.model, lab.tokenizer, cases[0].text, spots);
  const ways = waysOf(before, record(lab.model, lab.tokenizer, cases[0].text, spots, edits, before));
  const wholes = ways.filter(({ way }) => way === "whole");
  const jobs = [[], ...ways.map((way) => [way]), wholes];
  const values = jobs.map(() => /** @type {number[]} */ ([]));
  const reads = /** @type {any[]} */ ([]);
  const total = cases.length * (jobs.length + 1);
  for (const one of cases) {
    readAs(one.text);
    const read = readCase(lab, one, metric);
    reads.push(read);
    const own = record(lab.model, lab.tokenizer, one.text, [...new Set(ways.map(({ spot }) => spot))]);
    for (const [place, some] of jobs.entries()) {
      const all = { ...inCase(edits, one, donors) };
      for (const { spot, where } of some) all[spot] = [...(all[spot] ?? []), hold((name) => own.read(name), where)]; // what is held wins over what reaches it
      values[place].push(measured(endOf(lab, read.ids, changesOf(all)), read.pair, metric));
      yield { done: (reads.length - 1) * (jobs.length + 1) + place + 2, total };
    }
  }
  const start = mean(reads.map((read) => read.before));
  const left = new Map(ways.map(({ part, way }, i) => [`${part} ${way}`, values[i + 1]]));
  const parts = bySize(wholes.map(({ part }) => -Math.abs(mean(valuesOf(part, "whole")) - start))).map((place) => wholes[place].part);
  const rows = parts.map((part) => ({
    part,
    ...Object.fromEntries(Object.keys(WAYS).map((way) => [way, left.has(`${part} ${way}`) ? rounded(mean(valuesOf(part, way))) : null])),
    ...(cases.length > 1 ? { low: rounded(quantile(valuesOf(part, "whole"), 0.1)), high: rounded(quantile(valuesOf(part, "whole"), 0.9)) } : {}),
  }));
  const means = { before: rounded(start), after: rounded(mean(values[0])), together: rounded(mean(/** @type {number[]} */ (values.at(-1)))) };
  yield { done: total, total, held: { ...means, texts: cases.length, rows, sentence: sentence() } };

  /** @param {string} part @param {string} way */
  function valuesOf(part, way) {
    return /** @type {number[]} */ (left.get(`${part} ${way}`));
  }

  function sentence() {
    const said = `${cases.length > 1 ? `mean of ${cases.length} texts: ` : ""}${pairInWords(lab, reads[0].pair, metric)} ${numberInWords(means.before)} → ${numberInWords(means.after)}`;
    if (!rows.length) return `${said}; no head and no MLP noticed the edit, so there is none to be held.`;
    const [first] = /** @type {any[]} */ (rows);
    const apart = first.q === null ? "" : ` (${["q", "k", "v"].map((way) => `its ${way} ${numberInWords(first[way])}`).join(", ")})`;
    const spread = cases.length > 1 ? `, in 8 of 10 texts ${numberInWords(first.low)} to ${numberInWords(first.high)}` : "";
    const several = rows.length > 1 ? `; holding all ${rows.length} that noticed most, ${numberInWords(means.together)}` : "";
    return `${said}; holding ${first.part} as it was, ${numberInWords(first.whole)} is left${apart}${spread}${several}.`;
  }
}
