// @ts-check
// Two runs: the one that is shown, and the one that it is measured by, which is the same text without its edits, or
// another text. As the end of views/view.py has it.

/** @typedef {import("../model/trace.js").Trace} Trace @typedef {[Trace, Trace | null]} Two */

export const RUNS = ["as it is", "what if", "difference"];
export const SELECTION = ["layer", "head", "query", "key"];

/** What is shown of two runs, and what that is measured by. @param {Two} two @param {string} run @returns {Two} */
export function tracesOf([now, before], run) {
  return !before || run === "what if" ? [now, null] : run === "as it is" ? [before, null] : [now, before];
}

/** Those that there are to choose from. @param {Two} two */
export function runsOf([now, before]) {
  return !before ? [] : now.ids.length === before.ids.length ? RUNS : RUNS.slice(0, 2);
}

/** The other text that a run is measured by; "" where it is the same one without its edits. @param {Two} two */
export function comparedIn([now, before]) {
  const plain = before && before !== now && !Object.keys(now.edit).length;
  return plain ? before.text : "";
}

/** A place, or the last one that a trace has. @param {Record<string, number>} where @param {Trace} trace */
export function inside(where, { config, ids }) {
  const ends = [config.n_layer, config.n_head, ids.length, ids.length];
  return Object.fromEntries(SELECTION.map((name, i) => [name, Math.min(where[name], ends[i] - 1)]));
}
