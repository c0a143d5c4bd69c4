// @ts-check
// The predictions of a page that computes by itself: the next token at every layer. The other heads are models of their
// own, as large as this one, so they are not in the page.
import { saidAt, summary, tokensFrom, topOf } from "./lenses.js";
import { insideSteps, receiptAsked, receiptSteps } from "./receipt.js";
import { lastPlace, textPicture, wordOf, wordsOf } from "./pictures.js";

/** @typedef {import("./pictures.js").Lab} Lab @typedef {import("../model/trace.js").Trace} Trace */

const TOP = 8; // next tokens listed
const WINDOW = 64; // tokens whose next tokens are in the picture at a time
const ABSENT = "this head is a model of its own and is not in this page; in Python: ";

/** @typedef {{first: number, each: {ids: number[], probs: number[]}[]}} Window what each token of a window says */
const known = /** @type {WeakMap<Float32Array, Window>} */ (new WeakMap()); // by their state: an edit leaves those of the layers below it alone

/** @param {Lab} lab @param {import("../model/nn.js").Tensor} state @param {number[]} tokens of a window @param {number} top */
function likeliest(lab, state, tokens, top) {
  const before = known.get(state.data);
  if (before?.first === tokens[0]) return before.each;
  const said = saidAt(lab.model, state, tokens);
  const each = tokens.map((_, i) => summary(said.row(i), top, undefined));
  known.set(state.data, { first: tokens[0], each });
  return each;
}

/** The likeliest next tokens of the window that a token is in; of a difference, those that have changed most. @param {Lab} lab @param {Trace} trace @param {number} token @param {Trace | null} base */
function nextValues(lab, trace, token, base) {
  const { n_layer: layers, vocab_size: vocab } = trace.config;
  const first = Math.floor(token / WINDOW) * WINDOW;
  const count = Math.min(WINDOW, trace.ids.length - first);
  const tokens = tokensFrom(first, count);
  const top = Math.min(TOP, vocab);
  const ids = new Int32Array(layers * count * top);
  const probs = new Float32Array(ids.length);
  const before = new Float32Array(base ? ids.length : 0);
  for (let layer = 0; layer < layers; layer++) {
    const spot = `h.${layer}.resid_post`;
    const place = (/** @type {number} */ i) => (layer * count + i) * top;
    if (!base) {
      likeliest(lab, trace.read(spot), tokens, top).forEach((found, i) => {
        ids.set(found.ids, place(i));
        probs.set(found.probs, place(i));
      });
      continue;
    }
    const after = saidAt(lab.model, trace.read(spot), tokens);
    const earlier = saidAt(lab.model, base.read(spot), tokens, 1);
    for (let i = 0; i < count; i++) {
      const at = place(i);
      const [now, then] = [after, earlier].map((said) => Float32Array.from(said.logs(i), Math.exp));
      const change = now.map((p, word) => Math.abs(p - then[word]));
      const best = topOf(change.some((p) => p > 0) ? change : now, top);
      ids.set(best, at);
      probs.set(best.map((id) => now[id]), at);
      before.set(best.map((id) => then[id]), at);
    }
  }
  return { window: { first, count, top }, words: wordsOf(ids, (id) => wordOf(lab, id)), ids, probs, before };
}

/** @type {import("./pictures.js").Panel} */
export const predictionsPage = {
  name: "predictions",
  title: "Predictions",
  compares: true,
  jobs: {
    receipt: { asked: receiptAsked, steps: receiptSteps },
    inside: { asked: receiptAsked, steps: (lab, trace, shown, _, __, empty) => insideSteps(lab, trace, shown, empty) },
  },
  place: (trace, _, first) => ({ ...lastPlace(trace), ...(first ? { layer: trace.config.n_layer - 1 } : {}) }),

  numbers(lab, trace, shown, base) {
    const missing = { language: `${ABSENT}lab.classify(text)`, tags: `${ABSENT}lab.tag(text)`, answer: `${ABSENT}lab.answer(question, text)` };
    const picture = { ...textPicture(lab, trace), vocab: trace.config.vocab_size, labels: {}, missing, column: trace.ids.length - 1, ...(base ? { difference: {} } : {}) };
    return { picture, ...nextValues(lab, trace, shown.query, base) };
  },

  more(lab, trace, shown, _, base) {
    const { first, count } = shown.window;
    return shown.query >= first && shown.query < first + count ? {} : nextValues(lab, trace, shown.query, base);
  },
};
