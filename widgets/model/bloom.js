// @ts-check
// BLOOM without a head: embedding, blocks, final layer norm.
//
//   x = embed(ids)
//   x = block(x)                   n_layer times
//   final = layer_norm(x)          (batch, pos, hidden)
import { alibiBias } from "./alibi.js";
import { block } from "./block.js";
import { columnsOf } from "./cache.js";
import { embed } from "./embedding.js";
import { InputError } from "./errors.js";
import { makeHooks } from "./hooks.js";
import { layerNorm } from "./nn.js";

/**
 * One pass over the new columns: ids (pos) -> the final state (batch, pos, hidden), and the cache for the next pass.
 * @param {import("./weights.js").Bloom} model @param {number[]} ids
 * @param {{past?: import("./attention.js").KeyValue[] | null, hooks?: import("./hooks.js").Hooks, layers?: number}} [options]
 *   `past`: the cache that an earlier pass gave; it does not change; `layers`: how many are run, where not all are needed
 */
export function bloom(model, ids, { past = null, hooks = makeHooks(), layers } = {}) {
  const { config } = model;
  const beyond = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocab_size);
  if (!ids.length || beyond !== undefined) throw new InputError(`ids must be whole numbers from 0 to ${config.vocab_size - 1}, at least one, but got ${beyond ?? "none"}`);
  hooks.start(columnsOf(past));
  return onwards(model, embed(ids, model, hooks), { past, hooks, layers });
}

/**
 * A pass from a state of the stream on: that before layer `first` (batch, pos, hidden) -> as `bloom` gives it.
 * @param {import("./weights.js").Bloom} model @param {import("./nn.js").Tensor} x
 * @param {{first?: number, past?: import("./attention.js").KeyValue[] | null, hooks: import("./hooks.js").Hooks, layers?: number}} options
 *   `past`: of every layer, those before `first` too
 */
export function onwards(model, x, { first = 0, past = null, hooks, layers = model.config.n_layer }) {
  const { config, transformer } = model;
  const queries = x.shape[1];
  const bias = alibiBias(config.n_head, queries, columnsOf(past) + queries);
  const cache = transformer.h.slice(first, layers).map((weights, i) => {
    const layer = first + i;
    const [next, pair] = block(x, bias, weights, config, past ? past[layer] : null, hooks.at(`h.${layer}`));
    x = next;
    return pair;
  });
  if (layers === config.n_layer) x = hooks("final", layerNorm(x, transformer.ln_f, config.layer_norm_epsilon), "batch pos hidden");
  return { state: x, cache };
}
