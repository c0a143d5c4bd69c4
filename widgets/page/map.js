// @ts-check
// The map of a page that computes by itself: how long the states are, and what comes next. The parts came with the page.
import { dot, saidAt, stream, summary, vectorOf } from "./lenses.js";
import { joined, lastPlace, textPicture, wordOf } from "./pictures.js";

/** @typedef {import("./pictures.js").Lab} Lab @typedef {import("../model/trace.js").Trace} Trace */

const TOP = 3; // next tokens
const WRITTEN = ["attn.out", "mlp.out"]; // of each layer

/** How long each state is, and what attention and the MLP of each layer have added to it. @param {Trace} trace */
function lengthsOf(trace) {
  const lengths = (/** @type {any} */ state) => Float32Array.from(trace.ids, (_, token) => Math.sqrt(dot(vectorOf(state, token), vectorOf(state, token))));
  const written = Array.from({ length: trace.config.n_layer }, (_, layer) => WRITTEN.map((part) => trace.read(`h.${layer}.${part}`))).flat();
  return { norms: joined(stream(trace).map(([, state]) => lengths(state))), written: joined(written.map(lengths)) };
}

/** What is said after the last token. @param {Lab} lab @param {Trace} trace */
function lastOf(lab, trace) {
  return saidAt(lab.model, trace.read(`h.${trace.config.n_layer - 1}.resid_post`), [trace.ids.length - 1]);
}

/** @type {import("./pictures.js").Panel} */
export const mapPage = {
  name: "map",
  title: "Map",
  compares: true,
  place: lastPlace,

  numbers(lab, trace, _, base) {
    const said = summary(lastOf(lab, trace).row(0), Math.min(TOP, trace.config.vocab_size), undefined);
    const before = base ? lengthsOf(base) : { norms: new Float32Array(0), written: new Float32Array(0) };
    const logs = base ? lastOf(lab, base).logs(0) : null;
    const ids = Array.from(said.ids);
    return {
      picture: { ...textPicture(lab, trace), next_ids: ids, ...(base ? { difference: {} } : {}) },
      ...lengthsOf(trace),
      next: ids.map((id, place) => [wordOf(lab, id), said.probs[place]]),
      norms_before: before.norms,
      written_before: before.written,
      next_before: logs ? ids.map((id) => Math.exp(logs[id])) : [],
    };
  },

  more: () => ({}),
};
