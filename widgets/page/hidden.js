// @ts-check
// The hidden states of a page that computes by itself: what BLOOM would say at every step, and who added what.
import { dot, kl, pca, saidAt, shares, stream, summary, tokensFrom, topOf, vectorOf } from "./lenses.js";
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
 * What is known of a state's numbers: its map, and what each token says. An edit leaves the states below it alone, and the
 * tokens before it; a text that is typed on leaves those that stand there already. So only the others are worked out.
 * @typedef {{map: ReturnType<typeof pca> | null, said: Map<number, ReturnType<typeof summary> & {follows: number | undefined}>}} Known
 */
const known = /** @type {WeakMap<Float32Array, Known>} */ (new WeakMap());
let shownBefore = /** @type {[string, Tensor][]} */ ([]); // the stream of the last picture

/** @param {Tensor} state @param {Tensor | undefined} before the same in the run without edits @returns {Known} */
function knownOf({ data }, before) {
  const found = known.get(data) ?? { map: before && before.data !== data && unchanged(data, before.data) ? knownOf(before, undefined).map : null, said: new Map() };
  known.set(data, found);
  return found;
}

/** Take what a token says from another state in which it stands just so, with the same token after it. @param {Known} own @param {Tensor} state @param {number} token @param {number | undefined} follows @param {(Tensor | undefined)[]} others */
function takeOver(own, state, token, follows, others) {
  for (const other of others) {
    const there = other && token < /** @type {number} */ (other.shape.at(-2)) ? known.get(other.data)?.said.get(token) : undefined;
    if (there?.follows === follows && other && there && unchanged(vectorOf(state, token), vectorOf(other, token))) own.said.set(token, there);
  }
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
  const tokens = tokensFrom(first, count);
  states.forEach(([, state], row) => {
    const own = knownOf(state, whole[row]?.[1]);
    for (const token of tokens) if (!own.said.has(token)) takeOver(own, state, token, trace.ids[token + 1], [whole[row]?.[1], shownBefore[row]?.[1]]);
    const moved = before ? tokens.filter((token) => !unchanged(vectorOf(state, token), vectorOf(before[row][1], token))) : [];
    const asked = tokens.filter((token) => moved.includes(token) || !own.said.has(token));
    const said = saidAt(lab.model, state, asked);
    asked.forEach((token, i) => {
      if (!own.said.has(token)) own.said.set(token, { ...summary(said.row(i), TOP, trace.ids[token + 1]), follows: trace.ids[token + 1] });
    });
    const saidBefore = before ? saidAt(lab.model, before[row][1], moved, 1) : null;
    tokens.forEach((token, i) => {
      const at = row * count + i;
      const found = /** @type {ReturnType<typeof summary>} */ (own.said.get(token));
      pieces.ids.set(found.ids, at * TOP);
      pieces.probs.set(found.probs, at * TOP);
      [pieces.entropy[at], pieces.rank[at], pieces.surprise[at]] = [found.entropy, found.rank, found.surprise];
      const vector = vectorOf(state, token);
      pieces.norms[at] = Math.sqrt(dot(vector, vector));
      if (!saidBefore) return;
      const place = moved.indexOf(token);
      pieces.moved[at] = place < 0 ? 0 : kl(saidBefore.logs(place), said.logs(asked.indexOf(token)));
      pieces.ids_before[at] = place < 0 ? found.ids[0] : topOf(saidBefore.row(place), 1)[0];
    });
  });
  shownBefore = states;
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
