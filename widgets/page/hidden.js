// @ts-check
// The hidden states of a page that computes by itself: what BLOOM would say at every step, and who added what.
import { dot, kl, pca, saidAt, shares, stream, summary, topOf, vectorOf } from "./lenses.js";
import { effectsAsked, effectSteps } from "./effects.js";
import { joined, lastPlace, textPicture, wordOf, wordsOf } from "./pictures.js";

/** @typedef {import("./pictures.js").Lab} Lab @typedef {import("../model/trace.js").Trace} Trace @typedef {import("../model/nn.js").Tensor} Tensor */

const TOP = 5; // next tokens named in a cell
const WINDOW = 64; // tokens whose numbers are in the page's picture at a time

/** Why this model's stream has no shares; "" if it has. @param {Trace} trace */
function refusal(trace) {
  return trace.config.apply_residual_connection_post_layernorm
    ? "no shares here: apply_residual_connection_post_layernorm=True puts a layer norm in the stream's place before each addition, so this model's stream is not a sum; the other numbers hold"
    : "";
}

/** @param {Lab} lab @param {number} id @returns {[string, string]} what a token looks like, and its script */
function wordAndScript(lab, id) {
  return [wordOf(lab, id), lab.special.includes(id) ? "" : (lab.scripts[id] ?? "")];
}

/**
 * What is known of a state's numbers: its map, and what it says in each window. An edit leaves the states below it alone,
 * so of an edited run only the others are worked out.
 * @typedef {{map: ReturnType<typeof pca> | null, windows: Map<number, ReturnType<typeof summary>[]>}} Known
 */
const known = /** @type {WeakMap<Float32Array, Known>} */ (new WeakMap());

/** @param {Tensor} state @param {Tensor | undefined} before the same in the run without edits @returns {Known} */
function knownOf({ data }, before) {
  const found = known.get(data) ?? (before && before.data !== data && unchanged(data, before.data) ? knownOf(before, undefined) : { map: null, windows: new Map() });
  known.set(data, found);
  return found;
}

/** @param {Float32Array} one @param {Float32Array} other */
const unchanged = (one, other) => one.length === other.length && one.every((value, i) => value === other[i]);

/** The numbers of the window that a token is in. @param {Lab} lab @param {Trace} trace @param {number} token @param {Trace | null} base */
function windowValues(lab, trace, token, base) {
  const first = Math.floor(token / WINDOW) * WINDOW;
  const count = Math.min(WINDOW, trace.ids.length - first);
  const states = stream(trace);
  const whole = trace.base ? stream(trace.base) : [];
  const cells = states.length * count;
  const pieces = {
    ids: new Int32Array(cells * TOP),
    probs: new Float32Array(cells * TOP),
    entropy: new Float32Array(cells),
    rank: new Int32Array(cells),
    surprise: new Float32Array(cells),
    norms: new Float32Array(cells),
    moved: new Float32Array(base ? cells : 0),
    ids_before: new Int32Array(base ? cells : 0),
  };
  const before = base ? stream(base) : null;
  states.forEach(([, state], row) => {
    const { windows } = knownOf(state, whole[row]?.[1]);
    const stays = !before || unchanged(state.data, before[row][1].data);
    const said = windows.has(first) && stays ? null : saidAt(lab.model, state, first, count);
    const summaries = windows.get(first) ?? Array.from({ length: count }, (_, i) => summary(/** @type {NonNullable<typeof said>} */ (said).row(i), TOP, trace.ids[first + i + 1]));
    windows.set(first, summaries);
    const saidBefore = before && !stays ? saidAt(lab.model, before[row][1], first, count, 1) : null;
    summaries.forEach((found, i) => {
      const at = row * count + i;
      pieces.ids.set(found.ids, at * TOP);
      pieces.probs.set(found.probs, at * TOP);
      [pieces.entropy[at], pieces.rank[at], pieces.surprise[at]] = [found.entropy, found.rank, found.surprise];
      const vector = vectorOf(state, first + i);
      pieces.norms[at] = Math.sqrt(dot(vector, vector));
      if (!before) return;
      pieces.moved[at] = saidBefore && said ? kl(saidBefore.logs(i), said.logs(i)) : 0;
      pieces.ids_before[at] = saidBefore ? topOf(saidBefore.row(i), 1)[0] : found.ids[0];
    });
  });
  const cosines = [];
  for (let token = first; token < first + count; token++) {
    const vectors = states.map(([, state]) => vectorOf(state, token));
    const sizes = vectors.map((vector) => Math.max(Math.sqrt(dot(vector, vector)), 1e-12));
    for (let one = 0; one < vectors.length; one++) for (let other = 0; other <= one; other++) cosines.push(dot(vectors[one], vectors[other]) / sizes[one] / sizes[other]);
  }
  const parts = refusal(trace) ? [] : shares(trace);
  const inWindow = (/** @type {"norm" | "share"} */ name) => joined(parts.map((part) => part.slice(first, first + count).map((one) => one[name])));
  return {
    window: { first, count },
    words: wordsOf([...pieces.ids, ...pieces.ids_before], (id) => wordAndScript(lab, id)),
    ...pieces,
    cosines: Float32Array.from(cosines),
    shares: inWindow("share"),
    added: inWindow("norm"),
  };
}

/** @type {import("./pictures.js").Panel} */
export const hiddenPage = {
  name: "hidden",
  title: "Hidden states",
  compares: true,
  jobs: { effects: { asked: effectsAsked, steps: (lab, trace, shown, _, around) => effectSteps(lab, trace, shown, around) } },
  place: (trace, _, first) => ({ ...lastPlace(trace), ...(first ? { layer: trace.config.n_layer - 1 } : {}) }),

  numbers(lab, trace, shown, base) {
    const states = stream(trace);
    const whole = trace.base ? stream(trace.base) : [];
    const maps = states.map(([, state], row) => {
      const known = knownOf(state, whole[row]?.[1]);
      return (known.map ??= pca(state, trace.ids.length));
    });
    const picture = /** @type {Record<string, any>} */ ({
      ...textPicture(lab, trace),
      states: states.map(([label]) => label),
      vocab: trace.config.vocab_size,
      tied: !lab.model.lm_head,
      refusal: refusal(trace),
      explained: maps.map(({ explained }) => explained.map((share) => Math.round(share * 1e4) / 1e4)),
    });
    if (base) {
      const before = stream(base);
      picture.difference = { reached: states.map(([, { data }], row) => data.some((value, i) => value !== before[row][1].data[i])) };
    }
    return { picture, points: joined(maps.map(({ points }) => points)), ...windowValues(lab, trace, shown.query, base) };
  },

  more(lab, trace, shown, _, base) {
    const { first, count } = shown.window;
    return shown.query >= first && shown.query < first + count ? {} : windowValues(lab, trace, shown.query, base);
  },
};
