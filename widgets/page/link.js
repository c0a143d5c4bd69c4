// @ts-check
// A state in a link: the text, the place, the edits, after the # of a page's address, which no server ever sees. What a
// link says is data, and is checked as what a page sends is; nothing in it is evaluated.
//
//   #text=Leo+lives+in&tab=attention&layer=0&head=1&query=2&key=1&run=what+if&off=0&edits=[{"spot": …, "kind": …}]
import { InputError, shorten } from "../model/errors.js";

const PLACES = ["layer", "head", "query", "key"];
const NAMES = ["text", "against", "tab", "run", "off", "edits", ...PLACES];
const LONGEST = 100_000; // letters
const MOST_EDITS = 100;
const PLACE = /^\d{1,5}$/;
const WISH = ["spot", "kind", "axes", "number", "columns", "towards", "away", "text", "of"];

/**
 * @typedef {{text?: string, against?: string, tab?: string, run?: string, off?: number[], edits: any[], place: Record<string, number>}} Linked
 *   `against`: another text to compare with; `edits`: as a page wishes for them, with the text that is copied from, or that others are like
 */

/**
 * What is after the # of an address.
 * @param {Record<string, any>} state the traits of a view @param {any[]} edits
 */
export function linkOf(state, edits) {
  const link = new URLSearchParams({ text: state.text });
  if (state.compared) link.set("against", state.compared);
  if (state.compared || edits.length) link.set("run", state.run);
  if (state.tab) link.set("tab", state.tab);
  for (const name of PLACES) link.set(name, String(state[name]));
  if (edits.length) {
    if (state.off.length) link.set("off", state.off.join("."));
    link.set("edits", JSON.stringify(edits));
  }
  return link.toString();
}

/**
 * What a link says; nothing where there is none. Whether the model has such a place or spot is asked later.
 * @param {string} hash @param {{tabs: string[], runs: string[]}} there
 * @returns {Linked | null}
 */
export function readLink(hash, { tabs, runs }) {
  const written = hash.replace(/^#/, "");
  if (!written) return null;
  if (written.length > LONGEST) throw new InputError(`it has ${written.length.toLocaleString("en")} letters, and at most ${LONGEST.toLocaleString("en")} are read`);
  const said = /** @type {Map<string, string>} */ (new Map());
  for (const [name, value] of new URLSearchParams(written)) {
    if (!NAMES.includes(name)) throw new InputError(`it names ${shorten(name)}, but a link holds ${NAMES.join(", ")}`);
    if (said.has(name)) throw new InputError(`it names ${name} twice`);
    said.set(name, value);
  }
  const [text, against, tab, run] = ["text", "against", "tab", "run"].map((name) => said.get(name));
  if (text !== undefined && !text.trim()) throw new InputError("its text is empty");
  if (against !== undefined && !against) throw new InputError("the text that it compares with is empty");
  if (against !== undefined && said.has("edits")) throw new InputError("it compares with another text and has changes; a link has one of the two");
  if (tab !== undefined && !tabs.includes(tab)) throw new InputError(`its tab is ${shorten(tab)}, but the tabs are ${tabs.join(", ") || "none"}`);
  if (run !== undefined && !runs.includes(run)) throw new InputError(`its run is ${shorten(run)}, but the runs are ${runs.join(", ")}`);
  const place = /** @type {Record<string, number>} */ ({});
  for (const name of PLACES) {
    const value = said.get(name);
    if (value === undefined) continue;
    if (!PLACE.test(value)) throw new InputError(`its ${name} is a whole number, but got ${shorten(value)}`);
    place[name] = Number(value);
  }
  const off = said.get("off")?.split(".") ?? [];
  if (!off.every((one) => PLACE.test(one))) throw new InputError(`what is off are numbers such as 0.2, but got ${shorten(said.get("off"))}`);
  return { text, against, tab, run, off: off.map(Number), place, edits: editsOf(said.get("edits")) };
}

/** @param {string | undefined} written */
function editsOf(written) {
  if (written === undefined) return [];
  let edits;
  try {
    edits = JSON.parse(written);
  } catch {
    throw new InputError(`its edits are no list that can be read: ${shorten(written)}`);
  }
  if (!Array.isArray(edits) || edits.length > MOST_EDITS) throw new InputError(`its edits are a list of at most ${MOST_EDITS}, but got ${shorten(edits)}`);
  for (const edit of edits) {
    const names = edit && typeof edit === "object" && !Array.isArray(edit) ? Object.keys(edit) : [""];
    const odd = names.find((name) => !WISH.includes(name));
    if (odd !== undefined) throw new InputError(`an edit in it is ${shorten(edit)}, but an edit has ${WISH.slice(0, 3).join(", ")}`);
    for (const name of ["text", "of"]) if (name in edit && !(typeof edit[name] === "string" && edit[name] && edit[name].isWellFormed())) throw new InputError(`an edit in it takes its values from a text, but got ${shorten(edit[name])}`);
  }
  return edits;
}
