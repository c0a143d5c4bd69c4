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
 * @param {{past?: import("./attention.js").KeyValue[] | null, hooks?: import("./hooks.js").Hooks}} [options]
 *   `past`: the cache that an earlier pass gave; it does not change
 */
export function bloom(model, ids, { past = null, hooks = makeHooks() } = {}) {
  const { config, transformer } = model;
  const beyond = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocab_size);
  if (!ids.length || beyond !== undefined) throw new InputError(`ids must be whole numbers from 0 to ${config.vocab_size - 1}, at least one, but got ${beyond ?? "none"}`);
  const column = columnsOf(past);
  hooks.start(column);

  let x = embed(ids, model, hooks);
  const bias = alibiBias(config.n_head, ids.length, column + ids.length);
  const cache = transformer.h.map((weights, layer) => {
    const [next, pair] = block(x, bias, weights, config, past ? past[layer] : null, hooks.at(`h.${layer}`));
    x = next;
    return pair;
  });
  x = hooks("final", layerNorm(x, transformer.ln_f, config.layer_norm_epsilon), "batch pos hidden");
  return { state: x, cache };
}
