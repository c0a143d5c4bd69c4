// @ts-check
// Record a trace: run once with hooks, and keep what was read there and all that says where the numbers come from.
import { bloom, onwards } from "./bloom.js";
import { HookError, InputError } from "./errors.js";
import { hookNames, makeHooks } from "./hooks.js";
import { allFinite } from "./nn.js";

/**
 * @typedef {import("./nn.js").Tensor} Tensor
 * @typedef {import("./edits.js").NamedEdit} NamedEdit
 * @typedef {{text: string, ids: number[], tokens: import("./tokens.js").Token[], config: import("./weights.js").Config,
 *   edit: Record<string, NamedEdit[]>, base: Trace | null, read: (spot: string) => import("./hooks.js").Reading, has: (spot: string) => boolean}} Trace
 */

/**
 * The spots that a name stands for: the one of that name, or all that end in it.
 * @param {string} name @param {number} layers
 */
export function resolve(name, layers) {
  const spots = [...hookNames(layers).keys()];
  const found = spots.includes(name) ? [name] : spots.filter((spot) => spot.endsWith(`.${name}`));
  if (!found.length) throw new HookError(`no spot is or ends in '${name}'`);
  return found;
}

/**
 * Edits by the exact names of their spots: one of them may name every layer's.
 * @param {Record<string, NamedEdit[]>} edit @param {number} layers
 * @returns {Record<string, import("./hooks.js").Edit[]>}
 */
export function bySpot(edit, layers) {
  const edits = /** @type {Record<string, import("./hooks.js").Edit[]>} */ ({});
  for (const [name, several] of Object.entries(edit)) {
    for (const spot of resolve(name, layers)) edits[spot] = [...(edits[spot] ?? []), ...several.map(({ change }) => change)];
  }
  return edits;
}

/** The layer of a spot; of those after the last layer, how many layers there are. @param {string} spot @param {number} layers */
export function layerOf(spot, layers) {
  if (spot === "embed") return 0;
  return spot.startsWith("h.") ? Number(spot.split(".")[1]) : layers;
}

/**
 * Read a text: ids in, a trace of these spots out. An edit's spot may name every layer's. What lies below the first
 * layer that is edited is the same in the run without edits: where that has it, it is not computed again.
 * @param {import("./weights.js").Bloom} model @param {import("./tokenizer.js").Tokenizer} tokenizer @param {string} text
 * @param {string[]} read @param {Record<string, NamedEdit[]>} [edit] @param {Trace | null} [base] the run without edits
 * @param {number} [most] tokens
 * @returns {Trace}
 */
export function record(model, tokenizer, text, read, edit = {}, base = null, most = Infinity) {
  const { config } = model;
  const ids = base?.ids ?? tokenizer.encode(text);
  if (!ids.length) throw new InputError("the text is empty; write at least one character");
  if (ids.length > most) throw new InputError(`the text has ${ids.length.toLocaleString("en")} tokens, but a page reads at most ${most.toLocaleString("en")}; shorten it, or read it in Python`);
  const spots = read.flatMap((name) => resolve(name, config.n_layer));
  const edits = bySpot(edit, config.n_layer);
  const hooks = makeHooks({ read: spots, edit: edits });
  const layers = Math.min(config.n_layer, 1 + Math.max(-1, ...spots.map((spot) => layerOf(spot, config.n_layer)))); // no more than these are read
  const first = Math.min(layers, ...Object.keys(edits).map((spot) => layerOf(spot, config.n_layer)));
  const below = spots.filter((spot) => layerOf(spot, config.n_layer) < first);
  const before = `h.${first - 1}.resid_post`; // what the first of them starts from
  if (base && first > 0 && [before, ...below].every(base.has)) {
    for (const spot of below) hooks.readings.set(spot, base.read(spot));
    hooks.start(0);
    onwards(model, base.read(before), { first, hooks, layers });
  } else bloom(model, ids, { hooks, layers });
  const trace = {
    text,
    ids,
    tokens: base?.tokens ?? tokenizer.tokensOfIds(ids),
    config,
    edit,
    base,
    has: (/** @type {string} */ spot) => hooks.readings.has(spot),
    read(/** @type {string} */ spot) {
      const found = hooks.readings.get(spot);
      if (!found) throw new HookError(`'${spot}' was not read`);
      return found;
    },
  };
  if (Object.keys(edit).length) {
    for (const [spot, { data }] of hooks.readings) {
      const bad = spot.endsWith(".attn.biased") ? data.some((value) => value === Infinity || Number.isNaN(value)) : !allFinite(data);
      if (bad) throw new HookError(`with these edits the numbers at '${spot}' grow beyond all bounds (infinite, or not a number); take one back, or use smaller numbers`);
    }
  }
  return trace;
}
