// @ts-check
// The head BLOOM was trained with: from the final state of each position, a score for every possible next token.
//
//   logits = final · table^T                                             (batch, pos, vocab)
//
// The table is the embedding table itself, unless the model has a matrix of its own.
import { bloom } from "./bloom.js";
import { makeHooks } from "./hooks.js";
import { layerNorm, linear } from "./nn.js";

/** @typedef {import("./weights.js").Bloom} Bloom */

/**
 * One pass with scores for the next token at every new position: ids (pos) -> logits (batch, pos, vocab), and the cache.
 * @param {Bloom} model @param {number[]} ids
 * @param {{past?: import("./attention.js").KeyValue[] | null, hooks?: import("./hooks.js").Hooks}} [options]
 */
export function causalLM(model, ids, { past = null, hooks = makeHooks() } = {}) {
  const { state, cache } = bloom(model, ids, { past, hooks });
  return { logits: hooks("logits", scoresOf(model, state), "batch pos vocab"), cache };
}

/** lm_head: (…, hidden) -> (…, vocab). @param {Bloom} model @param {import("./nn.js").Tensor} state @param {Float32Array} [room] */
export function scoresOf(model, state, room) {
  return linear(state, (model.lm_head ?? model.transformer.word_embeddings).weight, null, room);
}

/**
 * The logits computed from states of the stream, as if each were the last: (…, hidden) -> (…, vocab).
 * @param {Bloom} model @param {import("./nn.js").Tensor} states @param {Float32Array} [room] as in `linear`
 */
export function readOut(model, states, room) {
  return scoresOf(model, layerNorm(states, model.transformer.ln_f, model.config.layer_norm_epsilon), room);
}
