// @ts-check
// One block: attention, then the MLP, each added to the residual stream.
//
//   resid_mid  = resid_pre + attention(layer_norm(resid_pre))
//   resid_post = resid_mid + mlp(layer_norm(resid_mid))
import { attention } from "./attention.js";
import { mlp } from "./mlp.js";
import { add, layerNorm } from "./nn.js";

/**
 * Two residual additions: x (batch, pos, hidden) -> the same shape, and the layer's keys and values.
 * @param {import("./nn.js").Tensor} x @param {import("./nn.js").Tensor} bias @param {import("./weights.js").Block} weights
 * @param {import("./weights.js").Config} config @param {import("./attention.js").KeyValue | null} past
 * @param {import("./hooks.js").Hooks} hooks
 * @returns {[import("./nn.js").Tensor, import("./attention.js").KeyValue]}
 */
export function block(x, bias, weights, config, past, hooks) {
  const normedResidual = config.apply_residual_connection_post_layernorm;
  x = hooks("resid_pre", x, "batch pos hidden");
  let normed = layerNorm(x, weights.input_layernorm, config.layer_norm_epsilon);
  const [looked, pair] = attention(normed, bias, weights.self_attention, past, hooks.at("attn"));
  x = hooks("resid_mid", add(normedResidual ? normed : x, looked), "batch pos hidden");

  normed = layerNorm(x, weights.post_attention_layernorm, config.layer_norm_epsilon);
  const thought = mlp(normed, weights.mlp, hooks.at("mlp"));
  x = hooks("resid_post", add(normedResidual ? normed : x, thought), "batch pos hidden");
  return [x, pair];
}
