// @ts-check
// A safetensors file as nested names: "transformer.h.0.mlp.dense_4h_to_h.weight" is model.transformer.h[0].mlp
// .dense_4h_to_h.weight, as in the checkpoint. Each tensor is turned into 32-bit floats once.

import { roomFor } from "./simd.js";

/**
 * @typedef {import("./nn.js").Tensor} Tensor
 * @typedef {import("./nn.js").Layer} Layer
 * @typedef {{query_key_value: Layer, dense: Layer}} Attention
 * @typedef {{dense_h_to_4h: Layer, dense_4h_to_h: Layer}} Mlp
 * @typedef {{input_layernorm: Layer, self_attention: Attention, post_attention_layernorm: Layer, mlp: Mlp}} Block
 * @typedef {{vocab_size: number, hidden_size: number, n_layer: number, n_head: number, layer_norm_epsilon: number,
 *   apply_residual_connection_post_layernorm: boolean}} Config
 * @typedef {{word_embeddings: {weight: Tensor}, word_embeddings_layernorm: Layer, h: Block[], ln_f: Layer}} Transformer
 * @typedef {{config: Config, transformer: Transformer, lm_head?: {weight: Tensor}}} Bloom
 */

/**
 * @param {Uint8Array} file of a BLOOM with the causal head @param {Config} config
 * @returns {Bloom}
 */
export function readWeights(file, config) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const model = /** @type {any} */ ({ config, transformer: { h: Array.from({ length: config.n_layer }, () => ({})) } });
  const { __metadata__: _, ...tensors } = header;
  const room = roomFor(Object.values(tensors).map(({ shape }) => shape));
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(tensors)) {
    const parts = name.split(".");
    const last = /** @type {string} */ (parts.pop());
    let place = model;
    for (const part of parts) place = place[part] ??= {};
    place[last] = { data: numbers(file.slice(8 + length + offsets[0], 8 + length + offsets[1]), dtype, room(shape)), shape };
  }
  return model;
}

/** @param {Uint8Array} bytes @param {string} dtype @param {Float32Array} floats where they go @returns {Float32Array} */
function numbers(bytes, dtype, floats) {
  if (dtype === "F32") floats.set(new Float32Array(bytes.buffer));
  else if (dtype !== "F16") throw new Error(`weights are F16 or F32, but these are ${dtype}`);
  else new Uint16Array(bytes.buffer).forEach((bits, i) => (floats[i] = half(bits)));
  return floats;
}

/** @param {string} text in base64 */
export function bytesOfText(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

/** What a fraction of 10 bits is counted in, by the sign and exponent before it. */
const UNITS = Float64Array.from({ length: 64 }, (_, top) => (top & 0x20 ? -1 : 1) * 2 ** (Math.max(top & 0x1f, 1) - 25));

/**
 * A 16-bit float: a sign, 5 bits of exponent, 10 of fraction (IEEE 754 binary16).
 * @param {number} bits
 */
export function half(bits) {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction ? NaN : bits & 0x8000 ? -Infinity : Infinity;
  return UNITS[bits >> 10] * (exponent ? 1024 + fraction : fraction);
}
