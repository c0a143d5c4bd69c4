// @ts-check
// Writing in a page that computes by itself, as bloomlab/views/writing/panel.py and payload.py: what is written belongs to
// the trace that is shown, and the page moves it.
import { inWords, shorten } from "../model/errors.js";
import { displayTokens, tokenNames } from "../model/tokens.js";
import { cacheLedger } from "./ledger.js";
import { lastPlace, textPicture, wordOf } from "./pictures.js";
import { GenerationError, loopPeriod, sameSettings, settingsInWords, Writing } from "./written.js";

/**
 * @typedef {import("./pictures.js").Lab} Lab @typedef {import("./pictures.js").Shown} Shown
 * @typedef {import("../model/trace.js").Trace} Trace @typedef {import("./written.js").Settings} Settings
 * @typedef {{opening: string, at: number, most: number, first: Settings, settings: Settings, nodes: [number, number, string, Settings][]}} Written
 */

const TOP = 10;
const SET = ["sample", "temperature", "top_k", "top_p", "penalty", "seed", "beams"]; // as the page names them
const JOINERS = /[\n\t \u200c\u200d]/g; // they have no picture, but a text needs them
const writings = /** @type {WeakMap<Trace, Writing>} */ (new WeakMap());
const begun = /** @type {WeakMap<Trace, Written>} */ (new WeakMap()); // what was written on in Python, until it is looked at
const norms = /** @type {WeakMap<object, number[][]>} */ (new WeakMap()); // a node never changes

/** The settings as the page has them. @param {Shown} shown @returns {Settings} */
function chosen(shown) {
  return { temperature: shown.temperature, top_k: shown.top_k || null, top_p: shown.top_p === 1 ? null : shown.top_p, repetition_penalty: shown.penalty, do_sample: shown.sample, seed: shown.sample ? shown.seed : null, num_beams: shown.beams };
}

/** @param {Settings} settings @param {Shown} shown */
function asThePageHas(settings, shown) {
  return { sample: settings.do_sample, temperature: settings.temperature, top_k: settings.top_k ?? 0, top_p: settings.top_p ?? 1, penalty: settings.repetition_penalty, seed: settings.seed ?? shown.seed, beams: settings.num_beams };
}

/** The writing that begins where a trace ends. @param {Lab} lab @param {Trace} trace @param {Shown} shown */
function writingOf(lab, trace, shown) {
  const written = begun.get(trace);
  if (written) replant(lab, trace, written);
  let writing = writings.get(trace);
  if (!writing) {
    const wanted = chosen(shown);
    const fits = !wanted.top_k || wanted.top_k <= trace.config.vocab_size; // a page may have set what nothing can be written with
    writing = new Writing(lab, trace, fits ? wanted : { ...wanted, top_k: null });
    writings.set(trace, writing);
  }
  return writing;
}

/**
 * A trace from which Python has written on: that is read again when the tab is opened, not before the first picture.
 * @param {Trace} trace @param {Written} written
 */
export const goesOn = (trace, written) => void begun.set(trace, written);

/** What Python has written on from a trace, read again. @param {Lab} lab @param {Trace} trace @param {Written} written */
function replant(lab, trace, { opening, at, most, first, settings, nodes }) {
  begun.delete(trace);
  const writing = new Writing(lab, trace, first);
  for (const [parent, id, how, own] of nodes) {
    writing.at = parent;
    writing.grow(id, how, own);
  }
  Object.assign(writing, { begun: opening, at, most, settings });
  writings.set(trace, writing);
}

/** A piece of text as one reads it; what cannot be seen, or is no character, as its name. @param {import("../model/tokens.js").Chip} chip */
function readAs({ text, shown }) {
  const letters = text.replace(JOINERS, "");
  return text && !/[\p{C}\p{Z}\ufffd]/u.test(letters) ? text : shown;
}

/** How long the values of a node's columns are: of each layer, each column's. @param {import("./written.js").Node} node */
function normsOf(node) {
  let found = norms.get(node);
  if (!found) {
    found = node.columns.map(({ v: { data, shape: [, heads, columns, size] } }) =>
      Array.from({ length: columns }, (_, column) => {
        let sum = 0;
        for (let head = 0; head < heads; head++) for (let i = 0; i < size; i++) sum += data[(head * columns + column) * size + i] ** 2;
        return Math.sqrt(sum);
      }),
    );
    norms.set(node, found);
  }
  return found;
}

/** @param {Writing} writing @param {string} [message] */
function treeOf(writing, message = "") {
  const { nodes, lab } = writing;
  const [shown, flow] = [nodes.map(() => ""), nodes.map(() => "")];
  const rows = writing.segments();
  for (const row of rows) {
    const path = writing.path(row[row.length - 1]);
    const own = new Set(row);
    const tokens = lab.tokenizer.tokensOfIds(path.slice(1).map((node) => nodes[node].id));
    tokenNames(tokens).forEach((name, i) => {
      if (own.has(path[i + 1])) shown[path[i + 1]] = name;
    });
    for (const chip of displayTokens(tokens)) {
      const last = path[/** @type {number} */ (chip.tokens.at(-1)) + 1];
      if (own.has(last)) flow[last] = readAs(chip);
    }
  }
  return {
    prompt: displayTokens(lab.tokenizer.tokensOfIds(writing.prompt)).map(readAs).join(""),
    parents: nodes.map(({ parent }) => parent),
    ids: nodes.map(({ id }) => id),
    shown,
    flow,
    log_probs: nodes.map(({ logProb }) => logProb),
    how: nodes.map(({ how }) => how),
    norms: nodes.map(normsOf),
    rows,
    settings: settingsInWords(writing.settings),
    searches: writing.settings.num_beams > 1,
    message,
  };
}

/** @param {Writing} writing @param {number} node */
const nextOf = (writing, node) => (writing.settings.num_beams > 1 ? null : writing.nextAt(node));

/** How the token of a node was chosen. @param {Writing} writing @param {number} node */
function cameAbout(writing, node) {
  if (!node) return null;
  const { parent, id, how, settings } = writing.nodes[node];
  const numbers = how === "drawn" ? writing.numbersAt(parent, settings) : null;
  const { entropy, entropy_after: after, open, rank, p, p_after: own, number } = writing.choiceAt(parent, settings, id, numbers, 1);
  return { entropy, entropy_after: after, open, rank, how, p, after: own, number, settings: settingsInWords(settings) };
}

/** What can come after a node, before and after the settings, and how the node itself came about. @param {Writing} writing @param {number} node */
function barsOf(writing, node) {
  const next = nextOf(writing, node);
  const { ids, before, after, numbers, entropy, entropy_after: open_after, open, rank } = writing.choiceAt(node, writing.settings, next, writing.numbersAt(node), TOP);
  return {
    entropy,
    entropy_after: open_after,
    open,
    rank,
    ids,
    names: ids.map((id) => wordOf(writing.lab, id)),
    before,
    after,
    numbers,
    next: next ?? -1,
    ended: writing.ends(node),
    loop: loopPeriod(writing.ids(node)),
    text: writing.text(node),
    code: writing.code(node),
    came: cameAbout(writing, node),
    settings: settingsInWords(writing.settings),
  };
}

/** Another writing that goes along: its tree and place, and what it gives the likeliest at a node. @param {Writing} writing @param {Writing} other @param {number} node */
function otherOf(writing, other, node) {
  const way = other.path(other.at);
  const depth = writing.depth(node);
  const probs = /** @type {Record<string, number[]>} */ ({});
  if (depth < way.length) {
    const { ids } = writing.choiceAt(node, writing.settings, nextOf(writing, node), null, TOP);
    const { logits } = other.nodes[way[depth]];
    let most = -Infinity;
    for (const score of logits) most = Math.max(most, score);
    const sum = logits.reduce((total, score) => total + Math.exp(score - most), 0);
    probs[node] = ids.map((id) => Math.exp(logits[id] - most) / sum);
  }
  const edited = Object.keys(other.trace.edit).length > 0;
  return { tree: treeOf(other), at: other.at, probs, code: edited ? "" : `other = ${other.opening().replace(/^writing = /, "")}.follow(writing)\n` };
}

/** @param {Writing} writing @param {Shown} shown @param {Writing | null} other */
function cacheOf(writing, shown, other) {
  const beside = other ? { writing: other, node: other.at } : shown.beside < 0 ? null : { writing, node: shown.beside };
  return cacheLedger(writing, writing.at, shown.keep, shown.window, beside);
}

/** The text so far as tokens; the task heads, which would say something of each, are not in a page. @param {Writing} writing */
const saidOf = (writing) => ({ node: writing.at, tokens: tokenNames(writing.lab.tokenizer.tokensOfIds(writing.ids(writing.at))) });

/** @param {Writing} writing @param {Shown} shown @param {Writing | null} other @param {string} [message] */
function piecesOf(writing, shown, other, message = "") {
  const { at } = writing;
  return { tree: treeOf(writing, message), bars: { [at]: barsOf(writing, at) }, cache: cacheOf(writing, shown, other), other: other ? otherOf(writing, other, at) : {}, said: shown.labels ? saidOf(writing) : {}, at };
}

/** @param {Writing} writing @param {any} asked */
function fulfil(writing, asked) {
  const wish = asked?.do;
  if (wish === "step") writing.step();
  else if (wish === "back") writing.back();
  else if (wish === "branch") writing.branch(asked.token ?? -1);
  else if (wish === "search") writing.search();
  else throw new GenerationError(`a writing can step, go back, branch and search; it cannot ${shorten(wish ?? null, 40)}`);
}

/** @type {import("./pictures.js").Panel} */
export const writingPage = {
  name: "writing",
  title: "Writing",
  compares: true,
  place: lastPlace,

  numbers(lab, trace, shown, base) {
    const writing = writingOf(lab, trace, shown);
    const other = base && writingOf(lab, base, shown);
    other?.follow(writing);
    const picture = { ...textPicture(lab, trace), heads: [], ...(base ? { difference: {} } : {}) };
    return { picture, ...piecesOf(writing, { ...shown, beside: -1 }, other), beside: -1, ...asThePageHas(writing.settings, shown) };
  },

  more(lab, trace, shown, changed, base) {
    const writing = writings.get(trace);
    if (!writing) return {};
    const other = base && writingOf(lab, base, shown);
    if (changed === "keep" || changed === "window") return { cache: cacheOf(writing, shown, other) };
    if (changed === "beside") return shown.beside < writing.nodes.length ? { cache: cacheOf(writing, shown, other) } : { beside: -1 };
    if (changed === "labels") return { said: shown.labels ? saidOf(writing) : {} };
    try {
      if (changed === "asked") fulfil(writing, shown.asked);
      else if (changed === "at") {
        if (shown.at === writing.at) return {};
        writing.go(shown.at);
      } else if (SET.includes(changed)) {
        if (sameSettings(chosen(shown), writing.settings)) return {};
        writing.set(chosen(shown));
      } else return {};
      other?.follow(writing);
    } catch (error) {
      return piecesOf(writing, shown, other, inWords(error));
    }
    return piecesOf(writing, shown, other);
  },
};
