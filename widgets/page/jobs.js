// @ts-check
// The long jobs of a page: each goes on a step at a time, so that the page listens meanwhile, and ends when a change
// makes what it finds worthless.
import { inWords } from "../model/errors.js";

/**
 * @typedef {import("./pictures.js").Panel} Panel
 * @typedef {Record<string, any>} Values
 * @param {{nameOf: (panel: Panel, piece: string) => string, get: (name: string) => any, empty: Values,
 *   set: (panel: Panel, pieces: Values) => void, flush: () => void}} page `nameOf`: the trait that tells how a job goes
 */
export function makeJobs({ nameOf, get, empty, set, flush }) {
  const runs = /** @type {Map<string, {open: boolean}>} */ (new Map()); // that go on, by their traits

  /** @param {Panel} panel @param {string} piece @param {string} now @param {string} message */
  function end(panel, piece, now, message) {
    const name = nameOf(panel, piece);
    const run = runs.get(name);
    if (!run?.open) return;
    run.open = false;
    set(panel, { [piece]: { ...get(name), state: now, message: message || get(name).message } });
  }

  /** Drop a job's run, and what it found. @param {Panel} panel @param {string} piece */
  function forget(panel, piece) {
    const run = runs.get(nameOf(panel, piece));
    if (run) run.open = false;
    set(panel, { [piece]: empty[nameOf(panel, piece)] });
  }

  return {
    forget,
    stop: (/** @type {Panel} */ panel, /** @type {string} */ piece) => end(panel, piece, "stopped", ""),

    /** A new run of a job, in place of one that may still be going on. @param {Panel} panel @param {string} piece @param {() => Generator<Values>} stepsOf */
    begin(panel, piece, stepsOf) {
      const run = { open: true };
      const name = nameOf(panel, piece);
      let steps = /** @type {Generator<Values> | null} */ (null);
      let begun = null;
      try {
        steps = stepsOf();
        begun = steps.next().value; // what cannot be done is refused here, and what was done before stays
      } catch (error) {
        set(panel, { [piece]: { ...get(name), state: "error", message: inWords(error) } });
        return;
      }
      forget(panel, piece);
      runs.set(name, run);
      set(panel, begun);
      const going = steps;
      const step = () => {
        if (!run.open) return;
        try {
          const { done, value } = going.next();
          if (done) end(panel, piece, "done", "");
          else set(panel, value);
        } catch (error) {
          end(panel, piece, "error", inWords(error));
        }
        flush();
        if (run.open) setTimeout(step);
      };
      setTimeout(step);
    },
  };
}
