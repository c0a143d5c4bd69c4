// @ts-check
// Of two runs: what has changed in what every head does, as a rectangle of signed colours, and where it changed most.
//
// What tests can rely on:
//   [data-part="head-change"]   data-what, data-limit, data-largest: "layer.head", or ""; in it
//   [data-part="change-cells"]  the cells, whose canvas is [data-part="change-cells-canvas"]; takes the arrow keys
//   [data-part="change-says"]   the sentence; its button goes to the head
import { headCells } from "./cells.js";
import { divergingColours, signedStep } from "../lib/colours.js";
import { make, pushButton, set, themeColour } from "../lib/dom.js";
import { legend } from "../lib/legend.js";
import { fixed, signed } from "../lib/numbers.js";
import { toggles } from "../lib/toggles.js";

const WHAT = [
  ["distance", "distance", "change of the mean attention distance, in tokens"],
  ["previous", "previous token", "change of the share that the token before gets"],
  ["position", "position", "change of the share of the pattern that position alone explains"],
  ["content", "content", "change of the share of the pattern that content alone explains"],
];
const LEAST = [0.1, 0.01, 0.01, 0.01]; // less is not painted as if it were large

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @param {{pick: (layer: number, head: number) => void, point: (place: {layer: number, head: number} | null) => void}} listeners
 */
export function headChange(stage, { pick, point }) {
  let what = 0;
  let shown = /** @type {any} */ (null);
  const choices = toggles({ id: `${stage.id}-what`, says: "change of what", choices: WHAT, choose: (name) => {
    what = WHAT.findIndex(([one]) => one === name);
    paint();
  } });
  const cells = headCells({ part: "change-cells", says: "change of every head", pick, point });
  const scale = legend();
  const sentence = make("p", { class: "bl-note", "data-part": "change-says" });
  const element = make(
    "section",
    { class: "bl-panel", "aria-label": "what has changed in the heads", "data-part": "head-change" },
    make("h3", { class: "bl-title" }, "what has changed in the heads ", make("span", { class: "bl-how" }, "layer ↓ head →")),
    choices.element,
    cells.element,
    scale.element,
    sentence,
  );

  function paint() {
    if (!shown) return;
    const { picture, before, after } = shown;
    const { largest, reached } = picture.difference;
    const size = picture.layers * picture.heads;
    const change = Float32Array.from({ length: size }, (_, i) => after[what * size + i] - before[what * size + i]);
    const limit = change.reduce((most, value) => Math.max(most, Math.abs(value)), LEAST[what]);
    const colours = divergingColours(stage.body);
    const grey = themeColour(stage.body, "--bl-line");
    const isReached = (/** @type {number} */ i) => reached[Math.floor(i / picture.heads)][i % picture.heads];
    const digits = what === 0 ? 2 : 3;
    const words = (/** @type {number} */ i) => (isReached(i) ? signed(change[i], digits) : "not reached");
    cells.show(change, picture.layers, picture.heads, {
      colour: (value, i) => (isReached(i) ? colours.subarray(3 * signedStep(value, limit), 3 * signedStep(value, limit) + 3) : grey),
      words: (i) => `${WHAT[what][2]}: ${words(i)}`,
    });
    scale.show(colours, what === 0 ? "change, tokens" : "change of share", [[0, signed(-limit, 2)], [0.5, "0"], [1, signed(limit, 2)]]);
    choices.mark(WHAT[what][0]);
    const most = largest[what];
    const count = reached.flat().filter(Boolean).length;
    set(element, { "data-what": WHAT[what][0], "data-limit": limit, "data-largest": most ? `${most[0]}.${most[1]}` : "" });
    if (!most) {
      sentence.textContent = count ? `none of it has changed in any head; ${count} of ${size} heads look otherwise than before` : "no head looks otherwise than before: nothing was reached";
      return;
    }
    const [layer, head, first, second] = most;
    const told = {
      distance: `it looks ${fixed(first, 2)} → ${fixed(second, 2)} tokens back on average`,
      previous: `it gives the previous token ${fixed(first, 3)} → ${fixed(second, 3)}`,
      position: `position alone explains ${fixed(first, 3)} → ${fixed(second, 3)} of it`,
      content: `content alone explains ${fixed(first, 3)} → ${fixed(second, 3)} of it`,
    }[/** @type {"distance"} */ (WHAT[what][0])];
    const go = pushButton(`head ${layer}.${head}`, { class: "bl-button bl-plain" }, () => pick(layer, head));
    sentence.replaceChildren(go, ` changed most: ${told}. ${count} of ${size} heads look otherwise than before; grey: not reached.`);
  }

  return {
    element,
    paint,
    mark: cells.mark,

    /** @param {any} picture @param {Float32Array} before @param {Float32Array} after */
    show(picture, before, after) {
      shown = { picture, before, after };
      paint();
    },
  };
}
