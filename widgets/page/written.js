// @ts-check
// A text that is written on, and all the ways it could have gone: bloomlab/generation/tree.py and Writing of
// views/writing/writing.py in JavaScript. Each node is one token, read, with the scores of the next and its own column of
// the cache, so going back and branching off need no run of the model.
import { beamSearch } from "../model/beam.js";
import { bloom } from "../model/bloom.js";
import { columnsOf, joinedCache, someColumns } from "../model/cache.js";
import { scoresOf } from "../model/causal_lm.js";
import { BloomlabError, InputError, shorten } from "../model/errors.js";
import { numberInPython } from "../model/edits.js";
import { makeHooks } from "../model/hooks.js";
import { logSoftmax } from "../model/nn.js";
import { draw, drawSome, keepTopK, keepTopP, penaliseRepetition, race, scaleTemperature, softmax } from "../model/sampling.js";
import { replaced } from "../model/tokens.js";
import { visible } from "../model/visible.js";
import { bySpot, resolve } from "../model/trace.js";
import { Twister } from "../model/twister.js";
import { repr, shortNumber } from "./code.js";
import { topOf } from "./lenses.js";

/**
 * @typedef {import("./pictures.js").Lab} Lab @typedef {import("../model/trace.js").Trace} Trace
 * @typedef {import("../model/attention.js").KeyValue} KeyValue
 * @typedef {{temperature: number, top_k: number | null, top_p: number | null, repetition_penalty: number, do_sample: boolean,
 *   seed: number | null, num_beams: number}} Settings as Python names them
 * @typedef {{parent: number, id: number, logProb: number, how: string, settings: Settings, logits: Float32Array, columns: KeyValue[]}} Node
 * @typedef {{ids: number[], before: number[], after: number[], numbers: number[] | null, entropy: number, entropy_after: number,
 *   open: number, rank: number, p: number, p_after: number, number: number | null}} Choice
 */

export class GenerationError extends BloomlabError {}

const COLDEST = 1e-6; // below this temperature the likeliest token is always drawn
const [REPEATS, LOOP] = [3, 12]; // so often must a passage stand at the end to be a loop, and so long must all of it be
const MOST_NEW = 20; // tokens, where Python says nothing else
const SEEDS = 4; // whose random numbers are kept
const MOST_BYTES = 64e6; // that a tree may take up in a page

/** @param {Settings} settings */
const isGreedy = ({ do_sample: samples, temperature }) => !samples || temperature < COLDEST;

/** @param {Settings} one @param {Settings} other */
export const sameSettings = (one, other) => Object.entries(one).every(([name, value]) => value === other[/** @type {"seed"} */ (name)]);

/** How the next token is chosen. @param {Settings} settings */
export function settingsInWords(settings) {
  const more = settings.repetition_penalty !== 1 ? [`repetition penalty ${shortNumber(settings.repetition_penalty)}`] : [];
  if (settings.num_beams > 1) return [`${settings.num_beams} beams`, ...more].join(", ");
  if (isGreedy(settings)) return ["greedy", ...more].join(", ");
  if (settings.top_k) more.push(`top-k ${settings.top_k}`);
  if (settings.top_p !== null) more.push(`top-p ${shortNumber(settings.top_p)}`);
  return [`drawn at temperature ${shortNumber(settings.temperature)}`, ...more, `seed ${settings.seed}`].join(", ");
}

const CHANGEABLE = /** @type {(keyof Settings)[]} */ (["temperature", "top_k", "top_p", "repetition_penalty", "do_sample", "seed", "num_beams"]);
export const GREEDY = /** @type {Settings} */ ({ temperature: 1, top_k: null, top_p: null, repetition_penalty: 1, do_sample: false, seed: null, num_beams: 1 });
const DECLARED = /** @type {(keyof Settings)[]} */ (["do_sample", "temperature", "top_k", "top_p", "repetition_penalty", "num_beams", "seed"]);
const FLOATS = ["temperature", "top_p", "repetition_penalty"];

/** A setting as Python writes it. @param {keyof Settings} name @param {any} value */
function settingInPython(name, value) {
  if (value === null) return `${name}=None`;
  if (typeof value === "boolean") return `${name}=${value ? "True" : "False"}`;
  const written = numberInPython(value);
  return `${name}=${FLOATS.includes(name) && /^-?\d+$/.test(written) ? `${written}.0` : written}`;
}

/** The length of the passage that a text ends in over and over, in tokens; 0 if it does not. @param {number[]} row */
export function loopPeriod(row) {
  for (let period = 1; period <= Math.floor(row.length / REPEATS); period++) {
    const length = Math.max(REPEATS * period, LOOP);
    if (length > row.length) continue;
    let same = true;
    for (let i = 1; same && i <= length - period; i++) same = row[row.length - i] === row[row.length - i - period];
    if (same) return period;
  }
  return 0;
}

/** @param {Float64Array} probs */
const entropyOf = (probs) => probs.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);

/** A text that is written on; it stands at a node of a tree, of which the first is the prompt. */
export class Writing {
  /** @param {Lab} lab @param {Pick<Trace, "text" | "ids" | "config" | "edit">} trace that it begins where it ends @param {Settings} settings */
  constructor(lab, trace, settings) {
    this.lab = lab;
    this.trace = trace;
    this.prompt = trace.ids;
    this.edit = bySpot(trace.edit, trace.config.n_layer);
    this.#check(settings);
    this.settings = settings;
    this.first = settings;
    const { state, cache } = bloom(lab.model, this.prompt, { hooks: this.hooks() });
    this.nodes = /** @type {Node[]} */ ([{ parent: -1, id: -1, logProb: 0, how: "", settings, logits: this.#scores(state), columns: cache }]);
    this.at = 0;
    this.past = { node: 0, cache }; // of the node it came to last
    this.begun = ""; // the line, of what Python has begun
    this.most = MOST_NEW; // tokens that a search writes
    this.random = /** @type {Map<number, Twister[]>} */ (new Map()); // of each seed, the generator after so many draws
  }

  hooks(more = /** @type {Record<string, import("../model/hooks.js").Edit[]>} */ ({})) {
    const edit = { ...this.edit };
    for (const [spot, edits] of Object.entries(more)) edit[spot] = [...(edit[spot] ?? []), ...edits];
    return makeHooks({ edit });
  }

  /** What is said after the last token. @param {import("../model/nn.js").Tensor} state @param {number} [column] of that token */
  #scores({ data, shape }, column = this.prompt.length - 1) {
    const width = /** @type {number} */ (shape.at(-1));
    const logits = scoresOf(this.lab.model, { data: data.slice(data.length - width), shape: [1, 1, width] });
    const change = this.edit.logits;
    if (!change) return logits.data;
    const hooks = this.hooks();
    hooks.start(column);
    return hooks("logits", { data: logits.data, shape: [1, 1, logits.data.length] }, "batch pos vocab").data;
  }

  /** The scores after a pass over what a cache lacks of some ids. @param {number[]} ids @param {KeyValue[] | null} past @param {Record<string, import("../model/hooks.js").Edit[]>} [more] */
  after(ids, past, more = {}) {
    return this.#scores(bloom(this.lab.model, ids.slice(columnsOf(past)), { past, hooks: this.hooks(more) }).state, ids.length - 1);
  }

  // ---- the tree ----

  /** The nodes on the way from the prompt to one, both included. @param {number} at */
  path(at) {
    const way = [at];
    while (this.nodes[way[0]].parent >= 0) way.unshift(this.nodes[way[0]].parent);
    return way;
  }

  /** @param {number} at */
  ids(at) {
    return [...this.prompt, ...this.path(at).slice(1).map((node) => this.nodes[node].id)];
  }

  /** Keys and values of every column of the text at a node. @param {number} at */
  cache(at) {
    if (this.past.node !== at) this.past = { node: at, cache: joinedCache(this.path(at).map((node) => this.nodes[node].columns)) };
    return this.past.cache;
  }

  /** @param {number} node */
  depth(node) {
    return this.path(node).length - 1;
  }

  /** The tree as rows: runs of nodes without a fork, each after the one it leaves, its first child first. */
  segments() {
    const children = this.nodes.map(() => /** @type {number[]} */ ([]));
    this.nodes.forEach(({ parent }, node) => parent >= 0 && children[parent].push(node));
    const rows = /** @type {number[][]} */ ([]);
    const open = [0];
    while (open.length) {
      const row = [/** @type {number} */ (open.pop())];
      while (row[0] !== 0 && children[row[row.length - 1]].length === 1) row.push(children[row[row.length - 1]][0]);
      rows.push(row);
      open.push(...children[row[row.length - 1]].slice().reverse());
    }
    return rows;
  }

  /** The text at a node. @param {number} node */
  text(node) {
    const { tokenizer, special } = this.lab;
    return replaced(tokenizer.bytesOfIds(this.ids(node).filter((id) => !special.includes(id))));
  }

  /** Whether the token of a node ends a text. @param {number} node */
  ends(node) {
    return node > 0 && this.lab.ends.includes(this.nodes[node].id);
  }

  // ---- what can come next ----

  /** The scores after the rules, and after what narrows a draw. @param {number} node @param {Settings} settings @param {Float32Array} [scores] @param {number} [atLeast] tokens that stay */
  #scoresAt(node, settings, scores = this.nodes[node].logits, atLeast = 1) {
    if (settings.repetition_penalty !== 1) scores = penaliseRepetition(scores, this.ids(node), settings.repetition_penalty);
    if (isGreedy(settings)) return scores;
    scores = scaleTemperature(scores, settings.temperature);
    if (settings.top_k) scores = keepTopK(scores, settings.top_k, atLeast);
    return settings.top_p !== null && settings.top_p < 1 ? keepTopP(scores, settings.top_p, atLeast) : scores;
  }

  /** The numbers that are drawn after a node; null where nothing is drawn. What they are depends on the seed and the place only. @param {number} node @param {Settings} [settings] */
  numbersAt(node, settings = this.settings) {
    if (isGreedy(settings)) return null;
    const seed = settings.seed ?? 0;
    const states = this.random.get(seed) ?? [new Twister(seed % 4294967296)];
    if (!this.random.has(seed) && this.random.size >= SEEDS) this.random.delete(/** @type {number} */ (this.random.keys().next().value));
    this.random.set(seed, states);
    const depth = this.depth(node);
    const { vocab_size: vocab } = this.trace.config;
    while (states.length <= depth) {
      const next = states[states.length - 1].copy();
      race(vocab, next);
      states.push(next);
    }
    return race(vocab, states[depth].copy());
  }

  /** The token that the settings choose after a node. @param {number} node */
  nextAt(node) {
    const scores = this.#scoresAt(node, this.settings);
    const numbers = this.numbersAt(node);
    return numbers ? draw(scores, numbers) : topOf(scores, 1)[0];
  }

  /** What there is to choose from after a node; the model does not run. @param {number} node @param {Settings} settings @param {number | null} chosen @param {Float32Array | null} numbers @param {number} top @returns {Choice} */
  choiceAt(node, settings, chosen, numbers, top) {
    const scores = this.#scoresAt(node, settings);
    const before = softmax(this.nodes[node].logits);
    const after = isGreedy(settings) ? new Float64Array(scores.length) : softmax(scores);
    if (isGreedy(settings)) after[topOf(scores, 1)[0]] = 1;
    const ids = topOf(before.map((p, id) => Math.max(p, after[id])), Math.min(top, before.length)).sort((one, other) => before[other] - before[one]);
    if (chosen !== null && !ids.includes(chosen)) ids.push(chosen);
    const own = chosen === null ? NaN : before[chosen];
    return {
      ids,
      before: ids.map((id) => before[id]),
      after: ids.map((id) => after[id]),
      numbers: numbers && ids.map((id) => numbers[id]),
      entropy: entropyOf(before),
      entropy_after: entropyOf(after),
      open: after.reduce((count, p) => count + Number(p > 0), 0),
      rank: chosen === null ? 0 : before.reduce((count, p) => count + Number(p > own), 0) + 1,
      p: own,
      p_after: chosen === null ? NaN : after[chosen],
      number: numbers && chosen !== null ? numbers[chosen] : null,
    };
  }

  // ---- moving ----

  /** @param {Settings} settings */
  #check({ top_k: k }) {
    const { vocab_size: vocab } = this.trace.config;
    if (k && k > vocab) throw new GenerationError(`top_k must be a whole number from 1 to ${vocab}, but got ${k}`);
  }

  /** @param {Settings} settings */
  set(settings) {
    this.#check(settings);
    this.settings = settings;
  }

  step() {
    if (this.settings.num_beams > 1) throw new GenerationError("beams have no single next step; play() searches, or pass num_beams=1");
    this.#checkRoom();
    this.grow(this.nextAt(this.at), isGreedy(this.settings) ? "greedy" : "drawn");
  }

  /** Search with beams and go to the best end; all that were alive on the way are branches of the tree. @param {number} [most] new tokens */
  search(most = this.most) {
    this.#checkRoom(most);
    const { settings } = this;
    const twister = new Twister((settings.seed ?? 0) % 4294967296);
    const perBeam = Math.max(2, 1 + this.lab.ends.length);
    const ends = beamSearch(this.at, {
      beams: settings.num_beams,
      most,
      ends: this.lab.ends,
      scores: (node) => this.#scoresAt(node, settings, Float32Array.from(logSoftmax(this.nodes[node].logits)), perBeam),
      grow: (node, id) => this.#grown(node, id, "beam", settings),
      choose: (totals, count) => (isGreedy(settings) ? topOf(totals, count) : drawSome(totals, count, twister)),
    });
    this.at = ends[0];
  }

  /** Write this token, whatever the settings say. @param {unknown} token its id, or its text */
  branch(token) {
    const id = this.#idOf(token);
    this.#checkRoom();
    this.grow(id, "by hand");
  }

  back() {
    const { parent } = this.nodes[this.at];
    if (parent < 0) throw new InputError("0 tokens were written here, so 1 cannot be taken back");
    this.at = parent;
  }

  /** @param {number} node */
  go(node) {
    if (node >= this.nodes.length) throw new InputError(`the tree has the nodes 0 to ${this.nodes.length - 1}, but no ${node}`);
    this.at = node;
  }

  /** Write as another has, each token with its settings: with an edit and without, the two then stand side by side. @param {Writing} other */
  follow(other) {
    const wanted = other.path(other.at).slice(1).map((node) => other.nodes[node]);
    const way = this.path(this.at);
    let alike = 0;
    while (alike < Math.min(way.length - 1, wanted.length) && sameSettings(this.nodes[way[alike + 1]].settings, wanted[alike].settings)) alike += 1;
    this.at = way[alike];
    for (let from = alike; from < wanted.length; ) {
      const { settings } = wanted[from];
      const other = wanted.findIndex((node, i) => i > from && !sameSettings(node.settings, settings));
      const many = (other < 0 ? wanted.length : other) - from;
      this.settings = settings;
      if (settings.num_beams > 1) this.search(many);
      for (let i = 0; i < (settings.num_beams > 1 ? 0 : many); i++) if (!this.ends(this.at) && this.ids(this.at).length < this.lab.max_tokens) this.step();
      from += many;
    }
    this.settings = other.settings;
  }

  /** The node that adds a token where it stands; the model reads one column, none if it is there already. @param {number} id @param {string} how @param {Settings} [settings] */
  grow(id, how, settings = this.settings) {
    this.at = this.#grown(this.at, id, how, settings);
  }

  /** @param {number} at @param {number} id @param {string} how @param {Settings} settings */
  #grown(at, id, how, settings) {
    const there = this.nodes.findIndex((node) => node.parent === at && node.id === id);
    if (there >= 0) return there;
    const past = this.cache(at);
    const columns = columnsOf(past);
    const { state, cache } = bloom(this.lab.model, [id], { past, hooks: this.hooks() });
    const own = /** @type {KeyValue[]} */ (someColumns(cache, [columns]));
    this.nodes.push({ parent: at, id, logProb: logSoftmax(this.nodes[at].logits)[id], how, settings, logits: this.#scores(state, columns), columns: own });
    this.past = { node: this.nodes.length - 1, cache };
    return this.past.node;
  }

  /** @param {number} [count] new tokens */
  #checkRoom(count = 1) {
    if (this.ends(this.at)) throw new GenerationError("the text has ended; go back, or take another token");
    const { n_layer: layers, hidden_size: hidden, vocab_size: vocab } = this.trace.config;
    if (4 * this.nodes.length * (2 * layers * hidden + vocab) > MOST_BYTES) throw new GenerationError(`this tree has ${this.nodes.length.toLocaleString("en")} tokens, which fill the memory that a page gives it; go on from this text, in all tabs`);
    if (this.ids(this.at).length + count > this.lab.max_tokens) throw new GenerationError(`the text would be longer than ${this.lab.max_tokens} tokens; go back, or raise lab.max_tokens and begin anew`);
  }

  /** @param {unknown} token */
  #idOf(token) {
    const { tokenizer } = this.lab;
    if (typeof token === "string") {
      const ids = tokenizer.encode(token);
      if (ids.length === 1) return ids[0];
      const parts = ids.slice(0, 6).map((id) => visible(replaced(tokenizer.bytesOfIds([id])))).join(" ");
      throw new InputError(`${shorten(token)} is ${ids.length} tokens (${parts}); take them one at a time`);
    }
    const end = this.trace.config.vocab_size;
    if (typeof token !== "number" || !Number.isInteger(token) || token < 0 || token >= end) throw new InputError(`a token is its text or an id from 0 to ${end - 1}, but got ${shorten(token)}`);
    return token;
  }

  // ---- the Python that does the same ----

  /** The line that begins it. */
  opening() {
    if (this.begun) return this.begun;
    const bySpots = /** @type {Map<string, import("../model/edits.js").NamedEdit[]>} */ (new Map());
    for (const [name, edits] of Object.entries(this.trace.edit)) for (const spot of resolve(name, this.trace.config.n_layer)) bySpots.set(spot, [...(bySpots.get(spot) ?? []), ...edits]);
    const written = [...bySpots].map(([spot, edits]) => `${repr(spot)}: [${edits.map(({ text }) => text).join(", ")}]`);
    const given = DECLARED.filter((name) => this.first[name] !== GREEDY[name]).map((name) => settingInPython(name, this.first[name]));
    const begin = `writing = lab.write(${[repr(this.trace.text), ...(written.length ? ["edit=edit"] : []), ...(given.length ? [given.join(", ")] : [])].join(", ")})`;
    if (!written.length) return begin;
    const line = `{${written.join(", ")}}`;
    const names = ["add", "copied", "cut", "drawn", "hold", "scale", "steer", "usual", "zero"].filter((name) => line.includes(`${name}(`));
    return [`from bloomlab import ${names.join(", ")}`, `edit = ${line}`, begin].join("\n");
  }

  /** The lines that write what stands at a node. @param {number} at */
  code(at) {
    const lines = [this.opening()];
    let settings = this.first;
    let run = 0;
    const played = () => {
      if (run) lines.push(`writing.play(${run})`);
      run = 0;
    };
    const change = (/** @type {Settings} */ next) => {
      const changed = CHANGEABLE.filter((name) => settings[name] !== next[name]).map((name) => settingInPython(name, next[name]));
      lines.push(`writing.set(${changed.join(", ")})`);
      settings = next;
    };
    for (const node of this.path(at).slice(1)) {
      const own = this.nodes[node];
      if (own.how === "greedy" || own.how === "drawn") {
        if (!sameSettings(own.settings, settings)) {
          played();
          change(own.settings);
        }
        run += 1;
      } else {
        played();
        lines.push(`writing.branch(${own.id})`);
      }
    }
    played();
    if (!sameSettings(this.settings, settings)) change(this.settings);
    return `${lines.join("\n")}\n`;
  }
}
