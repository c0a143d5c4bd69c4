// @ts-check
// Hooks: what to read and what to change in one call of a model. They are an argument, never an attachment:
//
//   q = hooks("q", q, "batch head query head_dim")
//
// gives q back, edited if this call asked for an edit there, then recorded if it asked for a reading. The spots and the
// axes are those of bloomlab/hooks.py; a page reads one text at a time, so `batch` is always 1.
import { HookError } from "./errors.js";
import { someNaN } from "./nn.js";

/**
 * @typedef {import("./nn.js").Tensor} Tensor
 * @typedef {{name: string, axes: string[], column: number}} At the spot, its axes, the column of the pass's first position
 * @typedef {(tensor: Tensor, at: At) => Tensor} Edit a new tensor for a spot, of the same shape; its input is left alone
 * @typedef {Tensor & {axes: string}} Reading
 * @typedef {((name: string, tensor: Tensor, axes: string) => Tensor) & {
 *   at: (place: string) => Hooks, start: (column: number) => void, readings: Map<string, Reading>}} Hooks
 */

/**
 * Hooks that read these spots, by their exact names, and make these edits, each list in its order.
 * @param {{read?: Iterable<string>, edit?: Record<string, Edit[]>}} [wanted]
 * @returns {Hooks}
 */
export function makeHooks({ read = [], edit = {} } = {}) {
  const names = new Set(read);
  const readings = /** @type {Map<string, Reading>} */ (new Map());
  let column = -1; // nothing has begun

  /** @param {string} prefix @returns {Hooks} */
  function from(prefix) {
    /** @param {string} short @param {Tensor} tensor @param {string} axes */
    function hooks(short, tensor, axes) {
      const name = prefix + short;
      const at = { name, axes: axes.split(" "), column };
      for (const change of Object.hasOwn(edit, name) ? edit[name] : []) tensor = edited(tensor, change, at);
      if (names.has(name)) readings.set(name, { ...tensor, axes });
      return tensor;
    }
    return Object.assign(hooks, {
      readings,
      /** The same hooks seen from inside a component: hooks.at("h.3.attn")("probs", …) is h.3.attn.probs. */
      at: (/** @type {string} */ place) => from(`${prefix}${place}.`),
      /** The first line of a pass: its first position is this absolute column. */
      start(/** @type {number} */ first) {
        if (column >= 0 && (names.size || Object.keys(edit).length)) throw new HookError("these hooks have already served a pass; make new ones for each");
        column = first;
      },
    });
  }
  return from("");
}

/** @param {Tensor} tensor @param {Edit} change @param {At} at */
function edited(tensor, change, at) {
  const next = change(tensor, at);
  if (next.shape.join() !== tensor.shape.join()) throw new HookError(`the edit at '${at.name}' must return (${tensor.shape.join(", ")}), but returned (${next.shape.join(", ")})`);
  if (next !== tensor && someNaN(next.data)) throw new HookError(`the edit at '${at.name}' returned NaN (not a number)`);
  return next;
}

/**
 * All spots of a model, in order, each with its axes.
 * @param {number} layers
 * @returns {Map<string, string>}
 */
export function hookNames(layers) {
  const square = "batch head query key";
  const spots = new Map([["embed", "batch pos hidden"]]);
  for (let layer = 0; layer < layers; layer++) {
    const attention = { q: "batch head query head_dim", k: "batch head pos head_dim", v: "batch head pos head_dim", scores: square, alibi: square, biased: square, probs: square, mixed: "batch head query head_dim", out: "batch pos hidden" };
    spots.set(`h.${layer}.resid_pre`, "batch pos hidden");
    for (const [name, axes] of Object.entries(attention)) spots.set(`h.${layer}.attn.${name}`, axes);
    spots.set(`h.${layer}.resid_mid`, "batch pos hidden");
    for (const name of ["pre", "post"]) spots.set(`h.${layer}.mlp.${name}`, "batch pos neuron");
    spots.set(`h.${layer}.mlp.out`, "batch pos hidden");
    spots.set(`h.${layer}.resid_post`, "batch pos hidden");
  }
  return spots.set("final", "batch pos hidden").set("logits", "batch pos vocab");
}
