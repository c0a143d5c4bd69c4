// @ts-check
// Edits: functions that change a tensor at a named spot, addressed by the names of its axes, as in tracing/edits.py.
//
//   zero({ head: 3 })                 switch head 3 off
//   scale(0.5, { pos: [0, 1] })       halve two positions
//   add(0.1, { pos: 4 })              add a number
//   patch(source, null, { pos: 4 })   put the value of another run
//   cut({ query: 7, key: 3 })         at attn.biased: these looks are no longer possible
//
// An axis that is not named is changed whole; { from: 3 } is that index and all after it.
import { HookError } from "./errors.js";

/**
 * @typedef {import("./hooks.js").At} At
 * @typedef {import("./nn.js").Tensor} Tensor
 * @typedef {number | number[] | {from: number}} Index
 * @typedef {Record<string, Index>} Where
 * @typedef {{text: string, name: string, where: Where, source: string, change: (tensor: Tensor, at: At) => Tensor,
 *   at: (where: Where) => NamedEdit, copies?: {text: string, columns: number[] | null}, direction?: {ends: [string[], string[]], dose: number}}} NamedEdit
 *   `text`: the edit as Python would write it; `at`: the same, made elsewhere; `source`: from which texts it is; `direction`: of one that is added, what
 *   it leads to and away from
 */

const COLUMNS = ["pos", "query", "key"];

/** The indices of this pass that an edit names on one axis. @param {Index | undefined} index @param {number} size @param {string} axis @param {At} at */
function chosen(index, size, axis, at) {
  const first = axis === "pos" || axis === "query" ? at.column : 0;
  const named = index === undefined ? Array.from({ length: size }, (_, i) => first + i) : typeof index === "number" ? [index] : Array.isArray(index) ? index : Array.from({ length: Math.max(0, first + size - index.from) }, (_, i) => index.from + i);
  const beyond = named.find((n) => n >= first + size);
  if (beyond !== undefined && !COLUMNS.includes(axis)) throw new HookError(`${axis} at '${at.name}' goes from 0 to ${size - 1}, but got ${beyond}`);
  return named.filter((n) => n >= first && n < first + size).map((n) => n - first);
}

/**
 * A new tensor whose values are others in the block that is named. `value` gets the old one, its place, and its indices.
 * @param {Tensor} tensor @param {At} at @param {Where} where @param {(old: number, place: number, indices: number[]) => number} value
 * @returns {Tensor}
 */
export function replacedIn(tensor, at, where, value) {
  for (const axis of Object.keys(where)) if (!at.axes.includes(axis)) throw new HookError(`'${at.name}' has no axis '${axis}'; it has ${at.axes.join(", ")}`);
  const named = at.axes.map((axis, i) => chosen(where[axis], tensor.shape[i], axis, at));
  const data = tensor.data.slice();
  const indices = named.map(() => 0);
  /** @param {number} axis @param {number} base */
  function each(axis, base) {
    for (const index of named[axis]) {
      indices[axis] = index;
      const place = base * tensor.shape[axis] + index;
      if (axis === named.length - 1) data[place] = value(data[place], place, indices);
      else each(axis + 1, place);
    }
  }
  each(0, 0);
  return { data, shape: tensor.shape };
}

/** @param {Index} index as Python writes it */
function indexInPython(index) {
  if (typeof index === "number") return String(index);
  return Array.isArray(index) ? `[${index.join(", ")}]` : `slice(${index.from}, None, None)`;
}

/** A number as Python writes it. @param {number} number */
export function numberInPython(number) {
  return String(number).replace(/e([+-])(\d)$/, "e$10$2");
}

/** @param {string} name @param {Where} where @param {string[]} given */
export function inPython(name, where, given = []) {
  return `${name}(${[...given, ...Object.entries(where).map(([axis, index]) => `${axis}=${indexInPython(index)}`)].join(", ")})`;
}

/** @param {Where} [where] @returns {NamedEdit} */
export function zero(where = {}) {
  return { name: "zero", where, source: "", text: inPython("zero", where), at: zero, change: (tensor, at) => replacedIn(tensor, at, where, () => 0) };
}

/** @param {number} factor @param {Where} [where] @returns {NamedEdit} */
export function scale(factor, where = {}) {
  return { name: "scale", where, source: "", text: inPython("scale", where, [numberInPython(factor)]), at: (other) => scale(factor, other), change: (tensor, at) => replacedIn(tensor, at, where, (old) => old * factor) };
}

/** @param {number | Float32Array} value a number, or one for each index of the last axis @param {Where} [where] @returns {NamedEdit} */
export function add(value, where = {}) {
  const given = typeof value === "number" ? numberInPython(value) : `tensor(${value.length})`;
  const step = typeof value === "number" ? () => value : (/** @type {number} */ last) => value[last];
  return { name: "add", where, source: "", text: inPython("add", where, [given]), at: (other) => add(value, other), change: (tensor, at) => replacedIn(tensor, at, where, (old, _, indices) => old + step(/** @type {number} */ (indices.at(-1)))) };
}

/**
 * These looks are no longer possible: softmax shares the row out anew. A query keeps its look at itself.
 * @param {Where} [where] @returns {NamedEdit}
 */
export function cut(where = {}) {
  return {
    name: "cut",
    where,
    source: "",
    text: inPython("cut", where),
    at: cut,
    change(tensor, at) {
      if (at.axes.at(-1) !== "key" || !at.name.endsWith("biased")) throw new HookError(`cut works at attn.biased, before the softmax, but got '${at.name}'; at attn.probs use zero`);
      return replacedIn(tensor, at, where, (old, _, [, , query, key]) => (query + at.column === key ? old : -Infinity));
    },
  };
}

/**
 * Put what `source` gives for a spot there, from column 0 on: what other texts have. `given`: its arguments in Python.
 * @param {string} name @param {string[]} given @param {string} from in words @param {(spot: string) => Tensor} source @param {Where} where
 */
export function fromOthers(name, given, from, source, where) {
  return patched(source, null, where, { name, given, source: from });
}

/**
 * Put what a run has at this spot; of another text, `columns` are its columns, one for each position that is named.
 * @param {(spot: string) => Tensor} source @param {number[] | null} columns @param {Where} where
 * @param {{name: string, given: string[], source: string}} words
 * @returns {NamedEdit}
 */
function patched(source, columns, where, { name, given, source: from }) {
  return {
    name,
    where,
    source: from,
    text: inPython(name, where, given),
    at: (other) => patched(source, columns, other, { name, given, source: from }),
    change(tensor, at) {
      const other = source(at.name);
      const own = where.pos ?? where.query;
      const places = typeof own === "number" ? [own] : Array.isArray(own) ? own : [];
      return replacedIn(tensor, at, where, (_, __, indices) => {
        let place = 0;
        at.axes.forEach((axis, i) => {
          let index = indices[i];
          if (COLUMNS.includes(axis)) {
            if (axis !== "key") index += at.column;
            if (columns && axis !== "key") index = columns[places.indexOf(index)];
            if (index >= other.shape[i]) throw new HookError(`the patch at '${at.name}' asks for column ${index} of ${axis}, but its source has only ${other.shape[i]} columns; name fewer with ${axis}=…`);
          }
          place = place * other.shape[i] + index;
        });
        return other.data[place];
      });
    },
  };
}

/**
 * Put what another run has at this spot, from column 0 on.
 * @param {Tensor} source @param {number[] | null} columns @param {Where} [where]
 */
export function patch(source, columns = null, where = {}) {
  const given = [`tensor(${source.shape.join(", ")})`, ...(columns ? [`columns=${indexInPython(columns.length === 1 ? columns[0] : columns)}`] : [])];
  return patched(() => source, columns, where, { name: "patch", given, source: "" });
}

/**
 * The same, with the other text named instead of its tensor. `read` runs the model over that text.
 * @param {string} quoted the text as Python writes it @param {string} shortName @param {(spot: string) => Tensor} read
 * @param {number[] | null} columns @param {Where} where
 */
export function copied(quoted, shortName, read, columns, where) {
  const given = [quoted, ...(columns ? [`columns=${indexInPython(columns.length === 1 ? columns[0] : columns)}`] : [])];
  return patched(read, columns, where, { name: "copied", given, source: `“${shortName}”` });
}

/**
 * Keep what the run without edits has there. `whole` reads that run.
 * @param {(spot: string) => Tensor} whole @param {Where} where
 */
export function hold(whole, where) {
  return patched(whole, null, where, { name: "hold", given: [], source: "" });
}
