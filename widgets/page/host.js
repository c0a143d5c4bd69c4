// @ts-check
// The page's own kernel: what bloomlab/views/view.py is to a page in Jupyter, this is to a page that computes by itself.
// It takes what a page sets, and gives what a page draws; the traits, the wishes and the numbers are the same. It knows
// nothing of documents, so it runs in a worker, or where a policy refuses that, between two pictures of the page.
//
//   page ── {open: given} {set: traits, number} ──▶ host ── {ready} {update: traits, number} ──▶ page
//
// Of a burst of wishes only the last is heard. What a page cannot do (gradients, many texts) it says in one sentence,
// with the Python that can.
import { HookError, inWords, InputError, shorten } from "../model/errors.js";
import { Tokenizer } from "../model/tokenizer.js";
import { record } from "../model/trace.js";
import { bytesOfText, readWeights } from "../model/weights.js";
import { alibiPage } from "./alibi.js";
import { attentionPage } from "./attention.js";
import { codeParts, repr } from "./code.js";
import { makeDonors } from "./donors.js";
import { after, alike, built, editsOn, lastDirection, NO_EDITS, switched, words } from "./edit_list.js";
import { hiddenPage } from "./hidden.js";
import { makeJobs } from "./jobs.js";
import { makeLike } from "./like.js";
import { readLink } from "./link.js";
import { mapPage } from "./map.js";
import { textPicture } from "./pictures.js";
import { predictionsPage } from "./predictions.js";
import { comparedIn, inside, RUNS, runsOf, SELECTION, tracesOf } from "./runs.js";
import { tokensPage } from "./tokens.js";
import { makeTried, MEASURED_BY, WEIGHED } from "./tried.js";
import { makeWorth } from "./worth.js";
import { goesOn, writingPage } from "./writing.js";

/**
 * @typedef {import("../model/trace.js").Trace} Trace
 * @typedef {import("./edit_list.js").EditList} EditList
 * @typedef {import("./pictures.js").Panel} Panel
 * @typedef {Record<string, any>} Values traits, by name
 * @typedef {{model: any, panels: string[], state: Values, sets: Record<string, any>, templates: Record<string, [string, string]>,
 *   empty: Values, of_model: Record<string, Values>, wishes: any[], off: number[], run: string, link?: string, texts: import("./like.js").Case[] | null,
 *   edits: boolean, worth: Values, written: any}} Given what Python has
 *   put into the page: the model, the panels, the traits at first, what each may be, each panel's code (of a run without
 *   edits, and with), what long jobs have found at first, what is the same for every text, the edits, and the texts to draw from and to measure in, if any were given; `link`: what is after the # of its address; `edits`: whether any can be made;
 *   `written`: what was written on from the text
 */

const PAGES = /** @type {Record<string, Panel>} */ ({ map: mapPage, tokens: tokensPage, attention: attentionPage, alibi: alibiPage, hidden: hiddenPage, predictions: predictionsPage, writing: writingPage });
const READ = ["embed", "attn.scores", "attn.alibi", "attn.probs", "attn.out", "resid_mid", "mlp.out", "resid_post", "final"];
const MOST_TOKENS = 256; // a page keeps every look of every head in memory, of two runs
const PAUSES = { typed: 5, edits: 5, donor: 10 }; // milliseconds without another wish before the model runs; while it runs wishes queue, and of those the last is heard

/**
 * @param {Given} given @param {(message: any) => void} post
 */
export function makeHost({ model: file, ...given }, post) {
  const { weights, tokenizer: vocabulary, ...about } = file; // once they are read nothing holds them: a phone has little memory
  const lab = { ...about, model: readWeights(bytesOfText(weights), about.config), tokenizer: new Tokenizer(vocabulary) };
  const donors = makeDonors(lab);
  const like = makeLike(lab.tokenizer, lab.world, given.texts);
  const panels = given.panels.flatMap((name) => PAGES[name] ?? []);
  const alone = given.panels.length === 1;
  const state = /** @type {Values} */ ({ ...given.state });
  const timers = /** @type {Record<string, any>} */ ({});
  const computed = /** @type {Set<Panel>} */ (new Set()); // whose pieces are those of the trace that is shown
  let two = /** @type {[Trace, Trace | null] | null} */ (null); // the run, and the one it is measured by
  let edits = NO_EDITS; // of what is shown,
  let wanted = NO_EDITS; // and of what is on its way
  let chosen = "what if"; // the run that is shown
  let donor = /** @type {Trace | null} */ (null);
  let against = /** @type {Trace | null} */ (null); // another text, that each is compared with
  let held = { text: "", spots: /** @type {Map<string, any>} */ (new Map()) }; // what a run without edits has at single spots
  let reading = ""; // the text that is being read, for edits that take what it has, or what others like it have
  let pending = /** @type {Values} */ ({});
  let latest = 0; // the number of the last message of the page,
  let told = 0; // and of the last one that it knows to have been heard

  // ---- traits ----

  /** @param {Panel} panel @param {string} name */
  const trait = (panel, name) => (alone ? name : `${panel.name}_${name}`);

  /** @param {Values} values */
  function set(values) {
    Object.assign(state, values);
    Object.assign(pending, values);
  }

  /** @param {Panel} panel @param {Values} pieces */
  const setOf = (panel, pieces) => set(Object.fromEntries(Object.entries(pieces).map(([name, value]) => [trait(panel, name), value])));

  function flush() {
    if (!Object.keys(pending).length && told === latest) return;
    const update = pending;
    pending = {};
    told = latest;
    post({ update, number: latest });
  }

  /** @param {string} now @param {string} message @param {number} answered */
  const say = (now, message, answered) => set({ state: now, message, answered });

  const place = () => Object.fromEntries(SELECTION.map((name) => [name, state[name]]));
  const openPanel = () => panels.find(({ name }) => alone || name === state.tab) ?? null;

  /** What is shown of a panel: the place, its settings and pieces. @param {Panel} panel */
  function shownOf(panel) {
    if (alone) return { ...state };
    const start = `${panel.name}_`;
    const own = Object.entries(state).flatMap(([name, value]) => (name.startsWith(start) ? [[name.slice(start.length), value]] : []));
    return { ...place(), ...Object.fromEntries(own) };
  }

  const jobs = makeJobs({ nameOf: trait, get: (name) => state[name], empty: given.empty, set: setOf, flush });

  const tried = makeTried({
    worth: makeWorth(lab, donors, like, (text) => (reading = text)),
    get: (name) => state[name],
    set,
    flush,
    shown: () => ({ text: two?.[0].text ?? "", list: edits, donor: donor?.text ?? "" }),
    done: () => (reading = two?.[0].text ?? ""),
    nothing: given.worth,
    restore(text, list) {
      const again = { ...list, past: [{ ...NO_EDITS, entries: edits.entries, off: edits.off }, ...edits.past], gesture: null };
      if (text === state.picture.text) return want(again);
      const runs = readBoth(text, again);
      show(runs, runsOf(runs).includes(chosen) ? chosen : "what if", firstPlace(runs[0]), again);
      wanted = edits;
    },
  });

  // ---- running the model ----

  /** What the run without edits has at a spot, of the text that is read. @param {string} text @param {string} spot */
  function wholeOf(text, spot) {
    if (held.text !== text) held = { text, spots: new Map() };
    if (!held.spots.has(spot)) held.spots.set(spot, record(lab.model, lab.tokenizer, text, [spot], {}, null, MOST_TOKENS).read(spot));
    return held.spots.get(spot);
  }

  const around = () => {
    const shown = two?.[0].text ?? "";
    return {
      config: lab.model.config,
      tokens: two ? two[0].ids.length : 0,
      donor,
      readWhole: (/** @type {string} */ spot) => wholeOf(reading, spot),
      of: given.texts ? null : shown,
      texts: () => like.setOf(shown),
      idsRead: () => lab.tokenizer.encode(reading),
      donors,
      stories: lab.stories,
    };
  };

  /** @param {string} text */
  const readText = (text) => record(lab.model, lab.tokenizer, text, READ, {}, null, MOST_TOKENS);

  /** @param {string} text @param {EditList} list @returns {[Trace, Trace | null]} */
  function readBoth(text, list) {
    const on = editsOn(list);
    const shown = two?.find((trace) => trace && trace.text === text && !Object.keys(trace.edit).length);
    const whole = shown ?? readText(text);
    if (!Object.keys(on).length) return [whole, list.entries.length ? whole : against];
    const count = whole.ids.length;
    for (const { where } of Object.values(on).flat()) {
      for (const [axis, index] of Object.entries(where)) {
        const beyond = ["pos", "query", "key"].includes(axis) && [index].flat().find((one) => typeof one === "number" && one >= count);
        if (typeof beyond === "number") throw new HookError(`the text has ${count} tokens, so ${axis} goes from 0 to ${count - 1}, but got ${beyond}`);
      }
    }
    reading = text;
    return [record(lab.model, lab.tokenizer, text, READ, on, whole, MOST_TOKENS), whole];
  }

  // ---- showing ----

  /** The last direction that is on, whose dose can be set. @param {EditList} list */
  function directionOf(list) {
    const found = lastDirection(list);
    if (!found) return {};
    const { at, entry: { spot, edit } } = found;
    return { at, dose: edit.direction?.dose, one: `${edit.source}, at ${spot}` };
  }

  /** Where the eye goes first in a new text. @param {Trace} trace */
  function firstPlace(trace) {
    const first = !state.picture.tokens;
    const start = inside(place(), trace);
    if (!alone && first) start.layer = trace.config.n_layer - 1;
    const panel = alone ? panels[0] : (panels.find(({ name }) => name === "attention") ?? panels[0]);
    return { ...start, ...panel.place(trace, start, first) };
  }

  /** @param {Panel} panel @param {Trace} trace @param {Trace | null} base @param {Values} where */
  function numbers(panel, trace, base, where) {
    if (base && !panel.compares) throw new InputError(`${panel.title} draws no difference; choose “as it is” and “what if” in turn`);
    const pieces = { ...panel.numbers(lab, trace, { ...shownOf(panel), ...where }, base), ...given.of_model[panel.name] };
    pieces.picture.code = codeParts(given.templates[panel.name][Object.keys(trace.edit).length ? 1 : 0], trace, lab.code);
    return pieces;
  }

  /** @param {string} code @param {string} text */
  const needsPython = (code, text) => `this needs Python: ${code.replace("TEXT", () => repr(text))}`;

  /**
   * Show one of two runs, or their difference, at a place. If it raises, nothing changes.
   * @param {[Trace, Trace | null]} runs @param {string} run @param {Values} where @param {EditList} list
   */
  function show(runs, run, where, list) {
    const [trace, base] = tracesOf(runs, run);
    where = inside(where, trace);
    const panel = openPanel();
    const troubles = /** @type {Record<string, string>} */ ({});
    let pieces = /** @type {Values | null} */ (null);
    try {
      pieces = panel && numbers(panel, trace, base, where);
    } catch (error) {
      if (alone || !panel) throw error;
      troubles[panel.name] = inWords(error);
    }
    [two, chosen, edits] = [runs, run, list];
    computed.clear();
    set({ text: runs[0].text, run, runs: runsOf(runs), changes: list.entries.map(words), off: list.off, steered: directionOf(list), compared: comparedIn(runs), editable: given.edits && (list.entries.length > 0 || !runs[1]), linked: list.entries.map(({ wish }) => wish) });
    if (!alone) {
      set({ picture: { ...textPicture(lab, trace), code: [] }, troubles });
      for (const other of panels) set({ [trait(other, "picture")]: {} }); // that of another text
    }
    for (const other of panels) {
      for (const piece of Object.keys(other.needs ?? {})) if (piece !== "lengths") setOf(other, { [piece]: given.empty[trait(other, piece)] });
      for (const piece of Object.keys(other.jobs ?? {})) jobs.forget(other, piece);
    }
    set({ ...where, state: "ready", message: "" });
    if (panel && pieces) take(panel, pieces);
    tried.weigh();
  }

  /** @param {string} changed */
  function follow(changed) {
    const panel = openPanel();
    if (!two || !panel) return;
    const [trace, base] = tracesOf(two, chosen);
    if (changed === "tab" && !alone) {
      const { [panel.name]: _, ...others } = state.troubles; // a failed panel may be tried again
      set({ troubles: others });
    }
    try {
      if (computed.has(panel)) setOf(panel, panel.more(lab, trace, shownOf(panel), changed, base));
      else take(panel, numbers(panel, trace, base, place()));
    } catch (error) {
      if (alone) say("error", inWords(error), state.answered);
      else set({ troubles: { ...state.troubles, [panel.name]: inWords(error) } });
    }
    askForJobs(panel, changed);
  }

  /** Give the page a panel's pieces of a new picture. @param {Panel} panel @param {Values} pieces */
  function take(panel, pieces) {
    computed.add(panel);
    setOf(panel, pieces);
    refuse(panel, "picture");
    askForJobs(panel, "picture");
  }

  // ---- long jobs ----

  /** Begin a panel's jobs, or stop them, if a change asks for that. @param {Panel} panel @param {string} changed */
  function askForJobs(panel, changed) {
    if (!computed.has(panel)) return;
    for (const [piece, job] of Object.entries(panel.jobs ?? {})) {
      const asked = job.asked(piece, changed, shownOf(panel));
      if (asked === "run") begin(panel, piece);
      else if (asked === "stop" && changed !== "picture") jobs.stop(panel, piece);
    }
  }

  /** A new run of a job, in place of one that may still be going on. @param {Panel} panel @param {string} piece */
  function begin(panel, piece) {
    if (!two) return;
    const [trace, base] = tracesOf(two, chosen);
    const job = /** @type {Record<string, import("./pictures.js").Job>} */ (panel.jobs)[piece];
    jobs.begin(panel, piece, () => job.steps(lab, trace, shownOf(panel), base, { donors, like }, given.empty[trait(panel, piece)]));
  }

  /** What was asked for and needs Python says so where it would stand. @param {Panel} panel @param {string} changed */
  function refuse(panel, changed) {
    for (const [piece, [setting, values, code]] of Object.entries(panel.needs ?? {})) {
      const asked = changed === setting || (changed === "picture" && values.length > 0);
      const open = values.length === 0 || values.includes(state[trait(panel, setting)]);
      if (two && asked && open) setOf(panel, { [piece]: { ...given.empty[trait(panel, piece)], state: "error", message: needsPython(typeof code === "string" ? code : code(shownOf(panel)), two[0].text) } });
      else if (changed === setting) setOf(panel, { [piece]: given.empty[trait(panel, piece)] });
    }
  }

  // ---- wishes ----

  /** Of a burst only the last is heard. @param {"typed" | "edits" | "donor"} name @param {() => void} step */
  function later(name, step) {
    clearTimeout(timers[name]);
    timers[name] = setTimeout(() => {
      step();
      flush();
    }, PAUSES[name]);
  }

  /** @param {() => void} step */
  function attempt(step) {
    try {
      step();
    } catch (error) {
      set({ off: edits.off });
      say("error", inWords(error), state.answered);
    }
  }

  const hear = () => set({ heard: state.wished?.number ?? 0 });

  /** @param {EditList} list */
  function want(list) {
    wanted = list;
    later("edits", () => {
      attempt(() => make(wanted));
      wanted = edits;
      hear();
    });
  }

  /** @param {EditList} list */
  function make(list) {
    if (!two) return;
    const same = alike(list, edits) && list.past === edits.past && list.future === edits.future && list.gesture === edits.gesture;
    if (same) {
      set({ off: list.off });
      say("ready", "", state.answered);
      return;
    }
    const [now, before] = readBoth(two[0].text, list);
    const runs = /** @type {[Trace, Trace | null]} */ ([now, list.entries.length ? before : null]);
    show(runs, runsOf(runs).includes(chosen) ? chosen : "what if", place(), list);
  }

  function wish() {
    const { wished } = state;
    if (!two || !given.edits) return;
    if (wished?.do === "against") {
      attempt(() => compareWith(wished.text));
      return hear();
    }
    if (!state.editable) return;
    if (wished?.do === "read") {
      later("donor", () =>
        attempt(() => {
          if (typeof wished.text !== "string" || !wished.text) throw new InputError("the text is empty; write at least one character");
          donor = record(lab.model, lab.tokenizer, wished.text, [], {}, null, MOST_TOKENS);
          const { text, tokens, chips } = textPicture(lab, donor);
          set({ donor: { text, tokens, chips } });
        }),
      );
    } else if (WEIGHED.includes(wished?.do)) attempt(() => tried.ask(wished));
    else {
      attempt(() => {
        const list = after(wanted, wished, around());
        tried.hear(wished);
        want(list);
      });
      if (wanted === edits) hear(); // it is made already, or was refused
    }
  }

  /** Compare with another text from here on; with "", with none. @param {unknown} text */
  function compareWith(text) {
    if (!two) return;
    if (edits.entries.length || wanted.entries.length) throw new InputError("the changes are compared with the run without them; clear them before another text");
    if (typeof text !== "string") throw new InputError(`a text is compared with another text, but the page gave ${shorten(text ?? null)}`);
    const read = text ? readText(text) : null;
    const runs = /** @type {[Trace, Trace | null]} */ ([two[0], read]);
    show(runs, runsOf(runs).includes(chosen) ? chosen : "what if", place(), edits);
    against = read;
  }

  function readTyped() {
    const { text, number } = state.typed;
    if (!text.trim()) return say("empty", "", number);
    if (text === state.picture.text) return say("ready", "", number);
    say("working", "", state.answered);
    flush();
    try {
      const runs = readBoth(text, edits);
      show(runs, runsOf(runs).includes(state.run) ? state.run : "what if", firstPlace(runs[0]), edits);
      wanted = edits;
      say("ready", "", number);
    } catch (error) {
      say("error", inWords(error), number);
    }
  }

  // ---- what a page sends ----

  /** Whether a value is what a trait may be. @param {string} name @param {any} value */
  function fits(name, value) {
    const rule = Object.hasOwn(given.sets, name) ? given.sets[name] : null;
    if (!rule) return false;
    if (rule.values) return rule.values.includes(value);
    if (rule.kind === "whole") return Number.isSafeInteger(value) && value >= (rule.min ?? -Infinity) && value <= (rule.max ?? Infinity);
    if (rule.kind === "number") return Number.isFinite(value) && value >= (rule.min ?? -Infinity) && value <= (rule.max ?? Infinity);
    if (rule.kind === "truth") return typeof value === "boolean";
    if (rule.kind === "text") return typeof value === "string" && value.isWellFormed() && tried.fits(name, value);
    if (name === "typed") return typeof value?.text === "string" && value.text.isWellFormed() && Number.isSafeInteger(value.number);
    return value !== undefined;
  }

  /** A place that the text does not have becomes the last one it has. @param {string} name @param {number} value */
  function bounded(name, value) {
    if (!state.picture.tokens) return Math.max(0, value);
    const ends = /** @type {Record<string, number>} */ ({ layer: state.picture.layers, head: state.picture.heads, query: state.picture.tokens.length, key: state.query + 1 });
    return Math.min(Math.max(0, value), ends[name] - 1);
  }

  /** @param {Values} values @param {number} [number] of the message */
  function receive(values, number = latest) {
    const changed = [];
    latest = number;
    for (const name of Object.keys(values).sort((one, other) => Number(one === "key") - Number(other === "key"))) {
      if (!fits(name, values[name])) {
        if (Object.hasOwn(state, name)) pending[name] = state[name];
        continue;
      }
      const value = SELECTION.includes(name) ? bounded(name, values[name]) : values[name];
      if (value !== values[name]) pending[name] = value;
      if (JSON.stringify(state[name]) === JSON.stringify(value)) continue; // as Python compares: a list of the same is no change
      state[name] = value;
      changed.push(name);
    }
    if (changed.includes("query") && state.key > state.query) set({ key: state.query });
    for (const name of changed) {
      if (name === "typed") later("typed", readTyped);
      else if (name === "off") {
        if (two) want(switched(wanted, state.off));
      } else if (name === "wished") wish();
      else if (name === "run") otherRun();
      else if (name === "tab" || SELECTION.includes(name)) follow(name);
      else if (MEASURED_BY.includes(name)) tried.byAnotherMeasure();
      else settingChanged(name);
    }
    flush();
  }

  /** The same place in the other run, or in the difference. */
  function otherRun() {
    if (!two || state.run === chosen) return;
    if (state.runs.includes(state.run)) attempt(() => show(/** @type {[Trace, Trace | null]} */ (two), state.run, place(), edits));
    set({ run: chosen });
  }

  /** @param {string} name */
  function settingChanged(name) {
    const panel = panels.find((one) => alone || name.startsWith(`${one.name}_`));
    if (!panel || !two || !computed.has(panel)) return;
    const short = alone ? name : name.slice(panel.name.length + 1);
    refuse(panel, short);
    askForJobs(panel, short);
    const [trace, base] = tracesOf(two, chosen);
    attempt(() => setOf(panel, panel.more(lab, trace, shownOf(panel), short, base)));
  }

  // ---- the first picture ----

  /** Show a text with edits, as Python, or a link, wishes for them. @param {string} text @param {any[]} wishes @param {number[]} off @param {string} run @param {Values} where @param {string} compared */
  function beginWith(text, wishes, off, run, where, compared) {
    against = compared ? readText(compared) : null;
    let runs = readBoth(text, NO_EDITS);
    two = runs;
    let list = NO_EDITS;
    for (const { text: from, texts, of, ...edit } of wishes) {
      if (edit.kind === "copied") donor = record(lab.model, lab.tokenizer, from, [], {}, null, MOST_TOKENS);
      const own = of ? { of, texts: () => like.setOf(of) } : texts ? { of: texts.code === `lab.like(${repr(text)})` ? text : null, texts: () => texts } : {};
      list = { ...list, entries: [...list.entries, built(edit, { ...around(), ...own })] };
    }
    list = switched(list, off);
    if (list.entries.length) runs = readBoth(text, list);
    if (given.written?.text === text) goesOn(runs[0], given.written);
    show(runs, runsOf(runs).includes(run) ? run : "what if", where, list);
    wanted = edits;
  }

  /** Begin where a link says; what it says wrong is said, and the page begins as it was saved. */
  function beginAsLinked() {
    const before = { ...state };
    try {
      const link = readLink(given.link ?? "", { tabs: alone ? [] : given.panels, runs: RUNS });
      if (!link) return false;
      const { text = state.typed.text, tab, run = "what if", off = [], place: where, edits: wishes, against: compared = "" } = link;
      set({ typed: { text, number: 0 }, ...(tab ? { tab } : {}) });
      const first = readBoth(text, NO_EDITS)[0];
      beginWith(text, wishes, off, run, { ...firstPlace(first), ...where }, compared);
      return true;
    } catch (error) {
      Object.assign(state, before);
      [two, edits, wanted, donor, against] = [null, NO_EDITS, NO_EDITS, null, null];
      computed.clear();
      pending = { tab: state.tab, typed: state.typed };
      return `this link cannot be followed: ${inWords(error)}; the page begins as it was saved`;
    }
  }

  const linked = beginAsLinked();
  try {
    if (linked !== true) beginWith(state.typed.text, given.wishes, given.off, given.run, place(), state.compared);
    if (typeof linked === "string") say("error", linked, 0);
  } catch (error) {
    say("error", inWords(error), 0);
  }
  flush();

  return { receive };
}

/**
 * A host at the end of a line: in a worker, or in the page itself.
 * @param {(hear: (message: any) => void) => void} listen @param {(message: any) => void} post
 */
export function serve(listen, post) {
  let host = /** @type {ReturnType<typeof makeHost> | null} */ (null);
  listen((message) => {
    if (message.open) host = makeHost(message.open, post);
    else if (message.set) host?.receive(message.set, message.number);
  });
  post({ ready: true });
}
