// @ts-check
// The part of a page that weighs its edits, as bloomlab/views/measured.py: what it can ask for, what it is told, and the
// record of all tries. It is measured once nothing has changed for a moment, a step at a time.
import { HookError, inWords, InputError, shorten } from "../model/errors.js";
import { lastDirection, NO_EDITS, words } from "./edit_list.js";

/**
 * @typedef {import("./edit_list.js").EditList} EditList @typedef {import("./worth.js").Asked} Asked
 * @typedef {Record<string, any>} Values
 */

const MODES = ["keep", "without"];
export const WEIGHED = ["compare", "refute", "held", "curve", ...MODES, "stop", "restore"];
export const MEASURED_BY = ["metric", "answer", "rival", "over"];
const REST = 300; // milliseconds without another change before one is measured that nobody asked to measure
const MOST_TRIED = 500;
const LONGEST_HOPE = 300; // characters of what somebody expects
const LONGEST_TOKEN = 100;
const MOST_PARTS = 100; // that a page may name
const AMONG = ["all", "heads"];
const OTHERS = ["zero", "usual", "drawn"]; // what a page may put in the place of all other parts

/** The parts that a page asks for. @param {any} wish @returns {import("./worth.js").Parts} */
function partsOfWish({ parts, among, instead }) {
  const named = Array.isArray(parts) && parts.length > 0 && parts.length <= MOST_PARTS && parts.every((part) => typeof part === "string" && part.isWellFormed() && Array.from(part).length <= LONGEST_TOKEN);
  if (!named) throw new HookError(`the page names 1 to ${MOST_PARTS} parts in a list, such as '3.4' and 'mlp 3'`);
  if (!AMONG.includes(among)) throw new HookError(`the parts are among ${AMONG.join(" or ")}, but the page asked for ${shorten(among ?? null)}`);
  if (!OTHERS.includes(instead)) throw new HookError(`in the place of a part can stand ${OTHERS.join(", ")}, but got ${shorten(instead ?? null)}`);
  return { parts, among, instead };
}

/**
 * @param {{worth: ReturnType<import("./worth.js").makeWorth>, get: (name: string) => any, set: (values: Values) => void, flush: () => void,
 *   shown: () => {text: string, list: EditList, donor: string}, done: () => void, nothing: Values,
 *   restore: (text: string, list: EditList) => void}} page `shown`: what is measured; `done` is told after each step; `nothing`: the worth of none
 */
export function makeTried({ worth, get, set, flush, shown, done, nothing, restore }) {
  let weighed = ""; // what the worth is about
  let running = /** @type {{open: boolean} | null} */ (null);
  let kept = /** @type {EditList[]} */ ([]); // of each row of the record
  let hope = "";
  let parts = /** @type {import("./worth.js").Parts} */ ({ parts: [], among: AMONG[0], instead: OTHERS[0] }); // kept or taken out
  let curveOf = ""; // the direction that the worth has the curve of

  const isEdited = ({ entries, off } = shown().list) => entries.length > off.length;
  const changesOf = (/** @type {EditList} */ list) => list.entries.filter((_, number) => !list.off.includes(number)).map(words);
  const tell = (/** @type {Values} */ pieces) => set({ worth: { ...get("worth"), ...pieces } });

  /** @returns {Asked} */
  const asked = () => ({ ...shown(), metric: get("metric"), answer: get("answer"), rival: get("rival"), many: get("over") === "texts" });

  /** The direction whose dose can be set, whatever its dose, and the text; "" if there is none. */
  function directed() {
    const { text, list } = shown();
    const found = lastDirection(list);
    return found ? JSON.stringify([text, found.entry.spot, found.entry.edit.direction?.ends, found.entry.edit.where]) : "";
  }

  function stopMeasuring() {
    if (running) running.open = false;
    running = null;
  }

  /** More about the try that is shown. @param {Values} facts */
  function note(facts) {
    const { text, list } = shown();
    const changes = changesOf(list).join("\n");
    set({ tries: get("tries").map((/** @type {Values} */ row) => (row.text === text && row.changes.join("\n") === changes ? { ...row, ...facts } : row)) });
  }

  /** Compare first, if that is not done yet: it says which tokens are compared. @param {string} what */
  function* stepsOf(what) {
    if (what === "compare" || !get("worth").lines.length || get("worth").state !== "done") {
      tell({ refuted: {}, held: {}, kept: {} });
      let facts = /** @type {Values | null} */ (null);
      for (const { facts: found, ...pieces } of worth.compared(asked())) {
        facts = found ?? facts;
        tell(pieces);
        yield;
      }
      const { answer, rival, nothing: same } = get("worth");
      note({ answer, rival, nothing: same, ...facts });
    }
    if (what === "compare" && directed() && !get("worth").curve.rows && worth.cheap(shown().text)) what = "curve"; // a dose says nothing without the one at which the text falls apart
    if (what === "compare") return;
    const { answer, rival } = get("worth");
    if (what === "curve") curveOf = "";
    const steps = MODES.includes(what) ? worth.kept(asked(), answer, rival, what, parts) : worth[/** @type {"held"} */ (what === "refute" ? "refuted" : what)](asked(), answer, rival);
    for (const pieces of steps) {
      tell(pieces);
      yield;
    }
    if (what === "curve") curveOf = directed();
    if (what !== "refute") return;
    const { refuted } = get("worth");
    note({ verdict: refuted.sentence, "as far": refuted["as far"], controls: refuted.controls });
  }

  /** Begin to measure, in place of what may still be going on. @param {string} what @param {number} [rest] */
  function measure(what, rest = 0) {
    if (!isEdited()) throw new InputError("there is no change to be measured; make one first");
    stopMeasuring();
    const run = /** @type {{open: boolean}} */ (running = { open: true });
    const steps = stepsOf(what);
    const step = () => {
      if (!run.open) return;
      try {
        if (steps.next().done) {
          run.open = false;
          tell({ state: "done", message: "" });
        }
      } catch (error) {
        run.open = false;
        tell({ state: "error", message: inWords(error) });
      }
      done();
      flush();
      if (run.open) setTimeout(step);
    };
    setTimeout(step, rest);
  }

  /** A row of the record; a drag is one row, and what was tried before is not written twice. */
  function writeDown() {
    const { text, list } = shown();
    const row = { text, changes: changesOf(list), expected: hope, time: new Date().toISOString().slice(0, 19) };
    hope = "";
    let rows = get("tries");
    if (rows.some((/** @type {Values} */ old) => old.text === text && old.changes.join("\n") === row.changes.join("\n"))) return;
    const goesOn = list.gesture !== null && kept.at(-1)?.gesture === list.gesture;
    if (goesOn) [rows, kept] = [rows.slice(0, -1), kept.slice(0, -1)];
    kept = [...kept, { ...NO_EDITS, entries: list.entries, off: list.off, gesture: list.gesture }].slice(-MOST_TRIED);
    set({ tries: [...rows, row].slice(-MOST_TRIED) });
  }

  return {
    /** Other edits, or another text, are shown: what was measured is of no use any more. */
    weigh() {
      const { text, list } = shown();
      const now = JSON.stringify([text, list.entries.map(({ spot, edit }) => [spot, edit.text]), list.off]);
      if (now === weighed) return;
      weighed = now;
      stopMeasuring();
      const known = curveOf && curveOf === directed();
      set({ worth: { ...nothing, curve: known ? get("worth").curve : {} } });
      if (!isEdited()) return;
      writeDown();
      if (worth.cheap(text)) measure("compare", REST);
    },

    /** What the page asks for about the edits as they are. @param {any} wish */
    ask(wish) {
      if (wish.do === "stop") {
        if (!running?.open) return;
        stopMeasuring();
        tell({ state: "stopped", message: "" });
      } else if (wish.do === "restore") {
        const { at } = wish;
        if (!Number.isInteger(at) || at < 0 || at >= kept.length) throw new HookError(`there is no try ${shorten(at ?? null)} to go back to; there are ${kept.length}`);
        restore(get("tries")[at].text, kept[at]);
      } else {
        if (MODES.includes(wish.do)) parts = partsOfWish(wish);
        measure(wish.do);
      }
    },

    /** Whether it can be measured by that. @param {string} name @param {any} value */
    fits: (name, value) => !["answer", "rival"].includes(name) || Array.from(value).length <= LONGEST_TOKEN,

    byAnotherMeasure() {
      if (!isEdited()) return;
      const { refuted, held, kept: left, doing } = get("worth");
      const again = refuted.rows ? "refute" : held.rows ? "held" : (left.mode ?? "compare");
      tell({ lines: [], refuted: {}, held: {}, kept: {}, curve: {}, state: "idle" });
      if (doing) measure(again); // somebody has asked for it, or it costs little
    },

    /** What somebody expects of the edit that is wished for. @param {any} wish */
    hear(wish) {
      const said = wish?.expect ?? "";
      if (typeof said !== "string" || Array.from(said).length > LONGEST_HOPE) throw new HookError(`what is expected is a text of at most ${LONGEST_HOPE} characters, but got ${shorten(said)}`);
      hope = said.trim();
    },
  };
}
