// @ts-check
// What stands in the place of what is taken out, as bloomlab/tracing/donors.py makes it: the usual of a set of texts, or
// what one of them has there; and what a view puts there unasked (views/shared/like_texts.py).
import { BloomlabError, HookError } from "../model/errors.js";
import { add, fromOthers, inPython, zero } from "../model/edits.js";
import { record } from "../model/trace.js";
import { Random } from "./random.js";
import { repr, shortNumber } from "./code.js";

/**
 * @typedef {import("../model/nn.js").Tensor} Tensor
 * @typedef {import("../model/edits.js").Where} Where
 * @typedef {import("../model/edits.js").NamedEdit} NamedEdit
 * @typedef {import("./like.js").TextSet} TextSet
 * @typedef {(where: Where, ids: number[]) => NamedEdit} Instead what stands in a place, where a text of these ids is read
 * @typedef {{kind: string, edit: Instead, words: string, before: string, code: string, standard: boolean}} Stand as in
 *   like_texts.py; `standard`: whether Python puts it there unasked
 */

const SEED = 0; // which of a set of texts is drawn
const KEPT = 4_000_000; // numbers of other texts

/** @param {{model: import("../model/weights.js").Bloom, tokenizer: import("../model/tokenizer.js").Tokenizer}} lab */
export function makeDonors({ model, tokenizer }) {
  const kept = /** @type {Map<string, Tensor>} */ (new Map());
  let size = 0;

  /** What a text has at a spot without edits, read once. @param {string} text @param {string} spot */
  function read(text, spot) {
    const key = JSON.stringify([text, spot]);
    let found = kept.get(key);
    if (!found) {
      const { data, shape } = record(model, tokenizer, text, [spot]).read(spot);
      found = { data, shape };
      size += data.length;
      if (size > KEPT) {
        kept.clear();
        size = data.length;
      }
      kept.set(key, found);
    }
    return found;
  }

  /** @param {TextSet} set @param {string} kind @param {Where} where @param {(spot: string) => Tensor} source */
  function fromSet({ name, code, texts }, kind, where, source) {
    const seed = kind === "drawn" ? [`seed=${SEED}`] : [];
    return fromOthers(kind, [code ? `${code}.texts` : `<${texts.length} texts>`, ...seed], name + (seed.length ? `, seed ${SEED}` : ""), source, where);
  }

  const width = model.config.hidden_size;

  /** The mean state of some texts, over all their tokens. @param {string[]} texts @param {string} spot */
  function meanAt(texts, spot) {
    const sum = new Float64Array(width);
    let count = 0;
    for (const text of texts) {
      const { data } = read(text, spot);
      for (let i = 0; i < data.length; i++) sum[i % width] += data[i];
      count += data.length / width;
    }
    return Float32Array.from(sum, (value) => value / count);
  }

  return {
    read,

    /** What one of these texts has there, never the text itself; which one depends on the text alone. @param {TextSet} set @param {Where} where @param {() => number[]} idsOf those that are read */
    drawn(set, where, idsOf) {
      return fromSet(set, "drawn", where, (spot) => {
        const ids = idsOf();
        const same = (/** @type {number[]} */ own) => own.length === ids.length && own.every((id, i) => id === ids[i]);
        const pool = set.texts.filter((text) => tokenizer.encode(text).length === ids.length);
        const others = pool.filter((text) => !same(tokenizer.encode(text)));
        if (!others.length) throw new HookError(`drawn found no other text of ${ids.length} tokens, as the text has: ${pool.length} of ${set.texts.length} have as many; pass others`);
        return read(new Random(`${SEED} [${ids.join(", ")}]`).choice(others), spot);
      });
    },

    /** The mean over these texts, at each position its own. @param {TextSet} set @param {Where} where @param {() => number[]} idsOf those that are read */
    usual(set, where, idsOf) {
      return fromSet(set, "usual", where, (spot) => {
        const columns = idsOf().length;
        const others = set.texts.filter((text) => tokenizer.encode(text).length !== columns);
        if (others.length) throw new HookError(`usual per position needs texts of ${columns} tokens, as the text has; ${others.length} of ${set.texts.length} have others, such as ${repr(others[0].slice(0, 40))}; leave them out, or take per='all'`);
        const key = JSON.stringify([set.texts, spot]);
        const known = kept.get(key);
        if (known) return known;
        let sum = /** @type {Float64Array | null} */ (null);
        let shape = /** @type {number[]} */ ([]);
        for (const text of set.texts) {
          const one = read(text, spot);
          sum ??= new Float64Array(one.data.length);
          for (let i = 0; i < sum.length; i++) sum[i] += one.data[i];
          shape = one.shape;
        }
        const mean = { data: Float32Array.from(/** @type {Float64Array} */ (sum), (value) => value / set.texts.length), shape };
        kept.set(key, mean);
        return mean;
      });
    },

    /** The mean state of some texts at a spot less that of others, over all their tokens. @param {string[]} first @param {string[]} second @param {string} spot */
    between(first, second, spot) {
      const [towards, away] = [meanAt(first, spot), meanAt(second, spot)];
      return towards.map((value, i) => value - away[i]);
    },

    /** The mean length of a state of some texts at a spot. @param {string[]} texts @param {string} spot */
    lengthAt(texts, spot) {
      const lengths = texts.flatMap((text) => {
        const { data } = read(text, spot);
        return Array.from({ length: data.length / width }, (_, token) => Math.hypot(...data.subarray(token * width, (token + 1) * width)));
      });
      return lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    },

    /**
     * A direction that is added, so many times.
     * @param {string[]} first @param {string[]} second @param {number} dose @param {Where} where @param {string} source
     * @returns {NamedEdit}
     */
    steered(first, second, dose, where, source) {
      const listed = (/** @type {string[]} */ texts) => `[${texts.map(repr).join(", ")}]`;
      return {
        name: "steer",
        where,
        source,
        text: inPython("steer", where, [listed(first), listed(second), `dose=${shortNumber(dose)}`]),
        direction: { ends: [first, second], dose },
        at: (other) => this.steered(first, second, dose, other, source),
        change: (tensor, at) => add(this.between(first, second, at.name).map((value) => Math.fround(dose) * value), where).change(tensor, at),
      };
    },
  };
}

/**
 * What stands in a place as the page asks for it; zeros, with the reason, where no texts are like this one.
 * @param {ReturnType<typeof makeDonors>} donors @param {ReturnType<import("./like.js").makeLike>} like
 * @param {string} text @param {string} kind
 * @returns {Stand}
 */
export function standIn(donors, like, text, kind) {
  if (kind === "drawn") {
    try {
      const { before, texts } = like.code(text);
      const set = like.setOf(text);
      const words = `what one of ${set.name} has`;
      const from = before ? `[case.text for case in ${texts}]` : `${texts}.texts`;
      return { kind, edit: (where, ids) => donors.drawn(set, where, () => ids), words, before, code: `bloomlab.drawn(${from})`, standard: !before };
    } catch (error) {
      if (!(error instanceof BloomlabError)) throw error; // nothing is known that is like this text
    }
  }
  const why = kind === "drawn" ? " (there are no texts like this one)" : "";
  return { kind: "zero", edit: zero, words: `zeros${why}`, before: "", code: "bloomlab.zero()", standard: false };
}
