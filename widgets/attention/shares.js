// @ts-check
// How much of a head's pattern position alone explains, and content alone: the three patterns in small, side by side,
// and what each has in common with the head's own.
import { make, set } from "../lib/dom.js";
import { paintCausal, PROBABILITY_COLOURS, probabilityStep } from "../lib/colours.js";
import { fixed } from "../lib/numbers.js";
import { contentOnly, overlap, positionOnly } from "./patterns.js";

const ALONE = [
  ["position", "position alone", "softmax of slope × distance, no content"],
  ["content", "content alone", "softmax of q·k/√d, no ALiBi"],
];

/** The panel with the two shares of one head. */
export function patternShares() {
  const title = make("h3", { class: "bl-title" }, "how much does position alone explain?");
  const whose = make("figcaption");
  const own = make("canvas", { class: "bl-mini", "aria-hidden": "true" });
  const parts = Object.fromEntries(
    ALONE.map(([name]) => [
      name,
      {
        canvas: make("canvas", { class: "bl-mini", "aria-hidden": "true", "data-part": `${name}-alone` }),
        number: make("span", { class: "bl-value", "data-share": name }),
        bar: make("span", { class: "bl-share-bar", "aria-hidden": "true" }),
      },
    ]),
  );
  const pictures = [
    make("figure", { class: "bl-alone" }, own, whose),
    ...ALONE.map(([name, word, how]) =>
      make(
        "figure",
        { class: "bl-alone" },
        parts[name].canvas,
        make("figcaption", {}, word, parts[name].number, parts[name].bar, make("span", { class: "bl-how" }, how)),
      ),
    ),
  ];
  const says = make("p", { class: "bl-note", "data-part": "share-says" });
  const element = make(
    "section",
    { class: "bl-shares", "aria-label": "position alone and content alone", "data-part": "shares" },
    title,
    make("div", { class: "bl-alones" }, ...pictures),
    says,
  );

  return {
    element,

    /**
     * @param {import("../lib/causal.js").HeadValues | null} values null while exact values are on their way
     * @param {number} slope
     * @param {number} tokens
     * @param {string} head which it is, in words
     */
    show(values, slope, tokens, head) {
      whose.textContent = head;
      set(element, { "data-exact": String(values !== null) });
      if (!values) {
        for (const { number } of Object.values(parts)) number.textContent = "…";
        return;
      }
      const paint = (/** @type {HTMLCanvasElement} */ canvas, /** @type {ArrayLike<number>} */ pattern) =>
        paintCausal(canvas, tokens, PROBABILITY_COLOURS, (cell) => probabilityStep(pattern[cell]));
      paint(own, values.probs);
      const patterns = { position: positionOnly(slope, tokens), content: contentOnly(values.scores, tokens) };
      for (const [name, pattern] of Object.entries(patterns)) {
        const share = overlap(values.probs, pattern, tokens);
        paint(parts[name].canvas, pattern);
        parts[name].number.textContent = fixed(share, 2);
        parts[name].bar.style.setProperty("--bl-part", String(share));
      }
      says.textContent =
        tokens > 1
          ? "the number: the share of this head's attention that lies on the same keys, Σ min of the two, mean over all " +
            "tokens but the first. 1 is the same pattern; the two need not sum to 1: of a flat head both explain nearly all"
          : "one token can only look at itself, so both explain all";
    },
  };
}
