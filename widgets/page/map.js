// @ts-check
// The map of a page that computes by itself: how long the states are, and what comes next. The parts came with the page.
import { dot, saidAt, stream, summary, vectorOf } from "./lenses.js";
import { joined, lastPlace, textPicture, wordOf } from "./pictures.js";

const TOP = 3; // next tokens
const WRITTEN = ["attn.out", "mlp.out"]; // of each layer

/** @type {import("./pictures.js").Panel} */
export const mapPage = {
  name: "map",
  title: "Map",
  compares: false,
  place: lastPlace,

  numbers(lab, trace) {
    const last = trace.ids.length - 1;
    const lengths = (/** @type {any} */ state) => Float32Array.from(trace.ids, (_, token) => Math.sqrt(dot(vectorOf(state, token), vectorOf(state, token))));
    const states = stream(trace).map(([, state]) => state);
    const written = Array.from({ length: trace.config.n_layer }, (_, layer) => WRITTEN.map((part) => trace.read(`h.${layer}.${part}`))).flat();
    const said = summary(saidAt(lab.model, states[states.length - 1], last, 1).row(0), Math.min(TOP, trace.config.vocab_size), undefined);
    return {
      picture: textPicture(lab, trace),
      norms: joined(states.map(lengths)),
      written: joined(written.map(lengths)),
      next: Array.from(said.ids, (id, place) => [wordOf(lab, id), said.probs[place]]),
    };
  },

  more: () => ({}),
};
