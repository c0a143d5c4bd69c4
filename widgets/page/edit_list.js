// @ts-check
// The list of edits in a view, what a chip says of one, and those that a page may ask for, as views/shared/edits.py has
// it. A list never changes; a wish gives another one.
import { HookError, shorten } from "../model/errors.js";
import { add, copied, cut, hold, numberInPython, scale, zero } from "../model/edits.js";
import { hookNames } from "../model/hooks.js";
import { readable, repr, shortNumber } from "./code.js";

/**
 * @typedef {import("../model/edits.js").NamedEdit} NamedEdit
 * @typedef {import("../model/trace.js").Trace} Trace
 * @typedef {{spot: string, edit: NamedEdit, wish: any}} Entry `wish`: as a page would ask for it again, with the text that
 *   it copies from, or whose like it takes; null where no page could
 * @typedef {{entries: Entry[], off: number[], past: EditList[], future: EditList[], gesture: number | null}} EditList
 * @typedef {{config: import("../model/weights.js").Config, tokens: number, donor: Trace | null,
 *   readWhole: (spot: string) => import("../model/nn.js").Tensor,
 *   of: string | null, texts: () => import("./like.js").TextSet, idsRead: () => number[], donors: ReturnType<import("./donors.js").makeDonors>,
 *   stories: Record<string, string[]>}} Around
 *   what an edit is made for: `donor` is the text that is copied from, `readWhole` reads the run without edits; `texts`
 *   are those that what is usual comes from, which are like the text `of` (null: given by Python), `idsRead` the ids of the text that is read, `stories` those of each language
 */

const WISHES = ["add", "set", "dose", "remove", "clear", "undo", "redo"];
const KINDS = ["zero", "usual", "drawn", "copied", "hold", "steer", "scale", "add", "cut"];
const WITH_A_NUMBER = ["scale", "add", "steer"];
const SETS = ["towards", "away"]; // what a direction leads to and away from
export const COPIED = ["embed", "attn.mixed", "attn.out", "resid_mid", "mlp.out", "resid_post"]; // what other texts have, too
const MOST = 100; // edits
const LARGEST = 1e4; // a factor, or a number to add
const LONGEST_NAME = 24; // characters of a text that a chip quotes
const LONGEST_TEXT = 500; // characters of a text that a direction leads to
const MOST_TEXTS = 64;
const VERBS = /** @type {Record<string, string>} */ ({ zero: "silent", cut: "cut", usual: "the usual", hold: "held as it was" });

/** @type {EditList} */
export const NO_EDITS = { entries: [], off: [], past: [], future: [], gesture: null };

/** Those that are on, by their spots. @param {EditList} list @returns {Record<string, NamedEdit[]>} */
export function editsOn({ entries, off }) {
  const found = /** @type {Record<string, NamedEdit[]>} */ ({});
  entries.forEach(({ spot, edit }, number) => {
    if (!off.includes(number)) (found[spot] ??= []).push(edit);
  });
  return found;
}

/** @param {EditList} list @param {unknown} off the numbers that a page sends @returns {EditList} */
export function switched(list, off) {
  const there = (Array.isArray(off) ? off : []).filter((number) => Number.isInteger(number) && number >= 0 && number < list.entries.length);
  return { ...list, off: [...new Set(there)].sort((one, other) => one - other), gesture: null };
}

/** The last direction that is on, and its number. @param {EditList} list @returns {{at: number, entry: Entry} | null} */
export function lastDirection({ entries, off }) {
  const at = entries.findLastIndex(({ edit }, number) => edit.direction && !off.includes(number));
  return at < 0 ? null : { at, entry: entries[at] };
}

/** Whether two lists make the same edits. @param {EditList} one @param {EditList} other */
export function alike(one, other) {
  return one.entries.length === other.entries.length && one.off.join() === other.off.join() && one.entries.every(({ spot, edit }, i) => spot === other.entries[i].spot && edit === other.entries[i].edit);
}

/** @param {number[]} list */
const listed = (list) => list.join(", ");

/** @param {import("../model/edits.js").Index} index */
function indexInWords(index) {
  return typeof index === "number" ? String(index) : Array.isArray(index) ? listed(index) : `${index.from} to the end`;
}

/** What a chip says of an edit. @param {Entry} entry */
export function words({ spot, edit }) {
  const inLayer = /^h\.(\d+)\.(.*)$/.exec(spot);
  const [layer, part] = inLayer ? [inLayer[1], inLayer[2]] : ["", spot];
  const where = { ...edit.where };
  const number = edit.text.slice(edit.name.length + 1).split(",")[0].replace(/\)$/, "");
  const does = edit.direction ? `+ ${shortNumber(edit.direction.dose)} × (${edit.source})` : edit.name === "scale" ? `× ${number}` : edit.name === "add" ? `+ ${number}` : (VERBS[edit.name] ?? edit.name);
  const { head } = where;
  delete where.head;
  if (part === "attn.alibi" && edit.name === "scale" && !Object.keys(where).length && (head === undefined || typeof head === "number")) {
    const ofHead = layer ? `slope of head ${layer}.${head}` : `slope of head ${head}`;
    const ofAll = layer ? `all slopes of layer ${layer}` : "all slopes";
    return `${head === undefined ? ofAll : ofHead} × ${numberInPython(Number(Number(number).toPrecision(3)))}`;
  }
  let what;
  if (typeof head === "number") what = layer ? `head ${layer}.${head}` : `head ${head} of every layer`;
  else {
    what = layer ? `${part} of layer ${layer}` : ["embed", "final", "logits"].includes(spot) ? spot : `${spot} of every layer`;
    if (head !== undefined) what += `, heads ${indexInWords(head)}`;
  }
  const at = ["query", "pos"].flatMap((axis) => (axis in where ? [indexInWords(where[axis])] : []));
  const places = [...(at.length ? [`at ${at.join(", ")}`] : []), ...("key" in where ? [`to ${indexInWords(where.key)}`] : [])];
  for (const [axis, index] of Object.entries(where)) if (!["query", "pos", "key"].includes(axis)) places.push(`${axis} ${indexInWords(index)}`);
  return [what, does, ...places, ...(edit.source && !edit.direction ? [`from ${edit.source}`] : [])].join(" ");
}

/**
 * The list that a page wishes for.
 * @param {EditList} list @param {any} wish @param {Around} around
 * @returns {EditList}
 */
export function after(list, wish, around) {
  if (!wish || typeof wish !== "object" || !WISHES.includes(wish.do)) throw new HookError(`the page can ask for ${WISHES.join(", ")}, but it asked for ${shorten(wish)}`);
  const before = { ...NO_EDITS, entries: list.entries, off: list.off };
  if (wish.do === "undo") {
    const [back, ...past] = list.past;
    return back ? { ...back, past, future: [before, ...list.future], gesture: null } : list;
  }
  if (wish.do === "redo") {
    const [again, ...future] = list.future;
    return again ? { ...again, past: [before, ...list.past], future, gesture: null } : list;
  }
  if (wish.do === "set") return setEdits(list, wish, around);
  if (wish.do === "dose") return dosed(list, wish, around);
  let { entries, off } = list;
  if (wish.do === "clear") [entries, off] = [[], []];
  else if (wish.do === "remove") {
    const { at } = wish;
    if (!Number.isInteger(at) || at < 0 || at >= entries.length) throw new HookError(`there is no edit ${shorten(at)} to take back; there are ${entries.length}`);
    entries = entries.filter((_, number) => number !== at);
    off = off.flatMap((number) => (number === at ? [] : [number - (number > at ? 1 : 0)]));
  } else {
    if (entries.length >= MOST) throw new HookError(`there are ${entries.length} edits, and no more fit; take some back, or clear the list`);
    entries = [...entries, built(wish.edit, around)];
  }
  return { entries, off, past: [before, ...list.past].slice(0, MOST), future: [], gesture: null };
}

/** With edits in place of those that they are another dose of. @param {EditList} list @param {any} wish @param {Around} around @returns {EditList} */
function setEdits(list, { edits, gesture }, around) {
  if (!Array.isArray(edits) || !edits.length || edits.length > MOST) throw new HookError(`the page may set 1 to ${MOST} edits at once, in a list`);
  if (!Number.isInteger(gesture)) throw new HookError("edits that are set come with the number of the gesture they belong to");
  const placeOf = (/** @type {Entry} */ { spot, edit }) => JSON.stringify([spot, edit.name, Object.entries(edit.where).sort()]);
  const nothing = (/** @type {Entry} */ { edit }) => edit.name === "scale" && /^scale\(1[,)]/.test(edit.text);
  const fresh = new Map(edits.map((one) => built(one, around)).map((entry) => [placeOf(entry), entry]));
  const kept = /** @type {[Entry, boolean][]} */ ([]);
  list.entries.forEach((entry, number) => {
    const setting = fresh.get(placeOf(entry));
    fresh.delete(placeOf(entry));
    if (!setting) kept.push([entry, list.off.includes(number)]);
    else if (!nothing(setting)) kept.push([setting.edit.text === entry.edit.text ? entry : setting, false]);
  });
  for (const setting of fresh.values()) if (!nothing(setting)) kept.push([setting, false]);
  if (kept.length > MOST) throw new HookError(`there are ${list.entries.length} edits, and no more fit; take some back, or clear the list`);
  const next = { entries: kept.map(([entry]) => entry), off: kept.flatMap(([, isOff], number) => (isOff ? [number] : [])) };
  if (alike({ ...NO_EDITS, ...next }, list)) return list;
  const goesOn = gesture === list.gesture && list.past.length > 0;
  return { ...next, past: goesOn ? list.past : [{ ...NO_EDITS, entries: list.entries, off: list.off }, ...list.past].slice(0, MOST), future: [], gesture };
}

/** With another dose of a direction. @param {EditList} list @param {any} wish @param {Around} around @returns {EditList} */
function dosed(list, { at, dose, gesture }, { donors }) {
  const entry = Number.isInteger(at) ? list.entries[at] : undefined;
  if (!entry?.edit.direction) throw new HookError(`edit ${shorten(at ?? null)} is no direction, so it has no dose`);
  if (!(typeof dose === "number" && Math.abs(dose) <= LARGEST)) throw new HookError("a dose must be between -10,000 and 10,000");
  if (!Number.isInteger(gesture)) throw new HookError("a dose comes with the number of the gesture it belongs to");
  const { where, source, direction: { ends, dose: before } } = entry.edit;
  if (dose === before) return list;
  const edit = donors.steered(...ends, dose, where, source);
  const next = { entries: list.entries.map((one, number) => (number === at ? { spot: one.spot, edit, wish: { ...one.wish, number: dose } } : one)), off: list.off.filter((number) => number !== at) };
  const goesOn = gesture === list.gesture && list.past.length > 0;
  return { ...next, past: goesOn ? list.past : [{ ...NO_EDITS, entries: list.entries, off: list.off }, ...list.past].slice(0, MOST), future: [], gesture };
}

/** What a page calls one end of a direction, and its texts. @param {any} end @param {Record<string, string[]>} stories @returns {[string, string[]]} */
function endOf(end, stories) {
  if (typeof end === "string" && Object.hasOwn(stories, end)) return [end, stories[end]];
  const texts = Array.isArray(end) ? end : [];
  const fits = (/** @type {any} */ text) => typeof text === "string" && text && text.isWellFormed() && Array.from(text).length <= LONGEST_TEXT;
  if (!texts.length || texts.length > MOST_TEXTS || !texts.every(fits)) throw new HookError(`each end of a direction is a language or 1 to ${MOST_TEXTS} texts of at most ${LONGEST_TEXT} characters, but the page gave ${shorten(end ?? null)}`);
  return [texts.length === 1 ? `“${shortName(texts[0])}”` : `${texts.length} texts`, texts];
}

/** A text as a chip quotes it. @param {string} text */
function shortName(text) {
  const name = readable(text);
  const letters = Array.from(name);
  return letters.slice(0, LONGEST_NAME).join("").trimEnd() + (letters.length > LONGEST_NAME ? "…" : "");
}

/** The edit that a page asks for. @param {any} wish @param {Around} around @returns {Entry} */
export function built(wish, around) {
  const made = editOf(wish, around);
  const { kind } = wish;
  const from = kind === "copied" ? { text: around.donor?.text } : kind === "usual" || kind === "drawn" ? { of: around.of } : {};
  return { ...made, wish: from.of === null ? null : { ...wish, ...from } };
}

/** @param {any} wish @param {Around} around @returns {{spot: string, edit: NamedEdit}} */
function editOf(wish, around) {
  if (!wish || typeof wish !== "object" || !Object.keys(wish).every((name) => ["spot", "kind", "axes", "number", "columns", ...SETS].includes(name))) throw new HookError("an edit from the page must have a spot, a kind, axes and perhaps a number or columns");
  const { spot, kind, axes, number = null } = wish;
  const spots = hookNames(around.config.n_layer);
  const found = typeof spot === "string" ? (spots.get(spot) ?? spots.get(`h.0.${spot}`)) : undefined;
  if (!found) throw new HookError(`the page asked to change ${shorten(spot)}, but this model has no such spot`);
  if (!KINDS.includes(kind)) throw new HookError(`the page asked for ${shorten(kind)}, but it can ask for ${KINDS.join(", ")}`);
  if ((number !== null) !== WITH_A_NUMBER.includes(kind)) throw new HookError(`an edit of the kind ${kind} takes ${WITH_A_NUMBER.includes(kind) ? "a" : "no"} number`);
  if (number !== null && !(typeof number === "number" && Math.abs(number) <= LARGEST)) throw new HookError(`the number of ${kind} must be between -10,000 and 10,000`);
  if (!axes || typeof axes !== "object" || Array.isArray(axes)) throw new HookError("the axes of an edit must name what it changes, such as {head: [1], query: [16]}");
  const where = Object.fromEntries(Object.entries(axes).map(([axis, index]) => [axis, indexOf(axis, index, spot, found, around)]));
  if (kind !== "steer" && SETS.some((end) => end in wish)) throw new HookError(`only a direction leads from texts to texts, but the page asked for ${kind}`);
  if (kind === "steer") {
    if (wish.columns !== undefined && wish.columns !== null) throw new HookError("a direction takes no columns; it is the same at every token");
    if (found !== "batch pos hidden") throw new HookError(`a direction is added to states, and '${spot}' holds none; choose a state`);
    const [[towards, first], [away, second]] = SETS.map((end) => endOf(wish[end], around.stories));
    return { spot, edit: around.donors.steered(first, second, number, where, `${towards} − ${away}`) };
  }
  if (["copied", "usual", "drawn"].includes(kind) && !COPIED.some((part) => spot === part || spot.endsWith(`.${part}`))) throw new HookError(`other texts have nothing that could stand at '${spot}'; choose one of ${COPIED.join(", ")}`);
  if (kind === "copied") return { spot, edit: copiedFrom(spot, where, wish.columns, around) };
  if (kind === "usual" || kind === "drawn") {
    if (wish.columns !== undefined && wish.columns !== null) throw new HookError(`an edit of the kind ${kind} takes no columns; each text has its own at the same tokens`);
    return { spot, edit: around.donors[/** @type {"usual"} */ (kind)](around.texts(), where, around.idsRead) };
  }
  const edit = { zero: () => zero(where), cut: () => cut(where), hold: () => hold(around.readWhole, where), scale: () => scale(number, where), add: () => add(number, where) }[/** @type {"zero"} */ (kind)]();
  return { spot, edit };
}

/** @param {string} spot @param {Record<string, any>} where @param {unknown} columns @param {Around} around */
function copiedFrom(spot, where, columns, { donor, donors, config }) {
  if (!donor) throw new HookError("there is nothing to copy from; read another text first");
  if (columns !== undefined && columns !== null && !(Array.isArray(columns) && columns.length === 1)) throw new HookError("the page names one column of the other text, for one token of this one");
  const taken = Array.isArray(columns) ? [/** @type {number} */ (indexOf("pos", columns, spot, "batch pos hidden", { config, tokens: donor.ids.length }))] : null;
  return copyOf(donors, donor.text, taken, where);
}

/** What a text has, put there. @param {Around["donors"]} donors @param {string} text @param {number[] | null} columns @param {import("../model/edits.js").Where} where @returns {NamedEdit} */
export function copyOf(donors, text, columns, where) {
  return { ...copied(repr(text), shortName(text), (spot) => donors.read(text, spot), columns, where), copies: { text, columns } };
}

/** @param {string} axis @param {any} index @param {string} spot @param {string} axes @param {{config: Around["config"], tokens: number}} around */
function indexOf(axis, index, spot, axes, { config, tokens }) {
  if (!axes.split(" ").includes(axis) || axis === "batch") throw new HookError(`'${spot}' has no axis ${shorten(axis)} that can be named; it has ${axes.split(" ").join(", ")}`);
  const width = config.hidden_size;
  const size = { head: config.n_head, head_dim: width / config.n_head, hidden: width, neuron: 4 * width, vocab: config.vocab_size }[axis] ?? tokens;
  const onwards = index && typeof index === "object" && !Array.isArray(index) && Object.keys(index).join() === "from" && ["pos", "query", "key"].includes(axis);
  const numbers = onwards ? [index.from] : index;
  if (!Array.isArray(numbers) || !numbers.length || !numbers.every((number) => Number.isInteger(number) && number >= 0 && number < size)) throw new HookError(`${axis} at '${spot}' goes from 0 to ${size - 1}, but the page asked for ${shorten(index)}`);
  if (onwards) return { from: numbers[0] };
  return numbers.length === 1 ? numbers[0] : [...new Set(numbers)].sort((one, other) => one - other);
}
