// @ts-check
// The MLP: works on each position by itself.
//
//   pre  = x · up + bias          four times as wide: one number a neuron
//   post = gelu(pre)              close to 0 for pre < 0, close to pre for pre > 0
//   out  = post · down + bias     what is added to the residual stream
import { gelu, linear } from "./nn.js";

/**
 * Up, GELU, down: x (batch, pos, hidden) -> what to add to it (batch, pos, hidden).
 * @param {import("./nn.js").Tensor} x @param {import("./weights.js").Mlp} weights @param {import("./hooks.js").Hooks} hooks
 */
export function mlp(x, weights, hooks) {
  const pre = hooks("pre", linear(x, weights.dense_h_to_4h.weight, weights.dense_h_to_4h.bias), "batch pos neuron");
  const post = hooks("post", gelu(pre), "batch pos neuron");
  return hooks("out", linear(post, weights.dense_4h_to_h.weight, weights.dense_4h_to_h.bias), "batch pos hidden");
}
