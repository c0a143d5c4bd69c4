// @ts-check
// From token ids to vectors. Each id picks a row of a table, and BLOOM normalises that row. Nothing here says where a
// token stands: positions enter only in attention, through ALiBi.
//
//   embed = layer_norm(table[id])                                        (batch, pos, hidden)
import { layerNorm, zeros } from "./nn.js";

/**
 * The first state of the residual stream: ids (pos) -> (batch, pos, hidden).
 * @param {number[]} ids @param {import("./weights.js").Bloom} model @param {import("./hooks.js").Hooks} hooks
 */
export function embed(ids, model, hooks) {
  const { word_embeddings: table, word_embeddings_layernorm: norm } = model.transformer;
  const width = model.config.hidden_size;
  const vectors = zeros(1, ids.length, width);
  ids.forEach((id, pos) => vectors.data.set(table.weight.data.subarray(id * width, (id + 1) * width), pos * width));
  return hooks("embed", layerNorm(vectors, norm, model.config.layer_norm_epsilon), "batch pos hidden");
}
