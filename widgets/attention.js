// @ts-check
// Attention: every head in small, one head's matrix, and the sum behind one cell. All of it is linked: point at a
// token, a head or a cell, and it lights up everywhere.
//
// What tests and other views can rely on (what surrounds the panel is in lib/frame.js):
//   .bloomlab[data-view="attention"]       the root; data-state = ready | working | empty | error;
//                                          data-layer, data-head, data-query, data-key, data-mode: what is selected;
//                                          data-tokens: how many there are; data-drawn: counts the pictures drawn
//   [data-part="text"]                     the text box (a textarea)
//   [data-part="says"]                     the line under it: working, empty and error states in words
//   [data-part="cancel"]                   the button that stops waiting
//   [data-part="strip"] [data-token="N"]   a token; data-role = query | key | seen | later; data-pointed
//   [data-part="heads"] [data-layer][data-head]   a thumbnail, with a <canvas>: one pixel a cell (or block of cells)
//   [data-part="matrix"]                   takes the arrow keys; data-colours = probability | signed; data-limit
//   [data-part="canvas"]                   the matrix, one pixel a cell: x = key, y = query; clear above the diagonal
//   [data-part="ledger"]                   data-query, data-key, data-exact, data-probability, data-error
//   [data-ledger="content|position|total|normaliser|probability"]   the numbers
//   input[name][value="content|position|both|probability"]          the toggles
//   [data-part="live"]                     one sentence about the cell, read aloud by screen readers
//   [data-part="code"], [data-part="copy"], [data-part="stamp"]
// Colours of probabilities: step round(255·√p) of cividis; of signed numbers: step round(127.5 + 127.5·x/limit).
import { bytes, floats, largestPart, ledgerOf, shownValue, tokenNames, cellCount, cellNumber } from "./lib/causal.js";
import { divergingColours, PROBABILITY_COLOURS, probabilityStep, signedStep } from "./lib/colours.js";
import { make, quoted, set } from "./lib/dom.js";
import { viewFrame } from "./lib/frame.js";
import { headGrid } from "./lib/heads.js";
import { scoreLedger } from "./lib/ledger.js";
import { legend } from "./lib/legend.js";
import { attentionMatrix } from "./lib/matrix.js";
import { fixed, probability, slopeName } from "./lib/numbers.js";
import { toggles } from "./lib/toggles.js";

const MODES = [
  ["content", "content", "q·k/√d, how well a key fits what the query asks for"],
  ["position", "position", "ALiBi, slope × distance: the farther back, the lower"],
  ["both", "both", "content + position, what goes into the softmax"],
  ["probability", "probability", "softmax: the share of its attention that a token gives to another"],
];
const PROBABILITY_TICKS = /** @type {[number, string][]} */ (
  [0, 0.01, 0.1, 0.25, 0.5, 1].map((p) => [Math.sqrt(p), String(p)])
);

/**
 * @param {import("./lib/frame.js").Stage} stage
 * @returns {import("./lib/frame.js").Panel}
 */
export function attentionPanel(stage) {
  // ---- what is known ----

  let picture = /** @type {import("./lib/causal.js").Picture} */ (/** @type {unknown} */ (null));
  let names = /** @type {string[]} */ ([]);
  let thumbs = /** @type {Uint8Array} */ (new Uint8Array());
  let exact = { first: 0, count: 0 };
  let values = /** @type {import("./lib/causal.js").HeadValues} */ ({ scores: floats(null), probs: floats(null) });
  let pointed = /** @type {{query: number | null, key: number | null}} */ ({ query: null, key: null });
  let pointedHead = /** @type {{layer: number, head: number} | null} */ (null);

  const chosen = () => ({
    layer: stage.get("layer"),
    head: stage.get("head"),
    query: stage.get("query"),
    key: Math.min(stage.get("key"), stage.get("query")),
    mode: stage.get("mode"),
  });

  /** The exact values of a head, if they are here. */
  const exactOf = (/** @type {number} */ layer, /** @type {number} */ head) => {
    const place = layer * picture.heads + head - exact.first;
    if (place < 0 || place >= exact.count) return null;
    const cells = cellCount(names.length);
    const [start, end] = [place * cells, (place + 1) * cells];
    if (values.probs.length < end) return null;
    return { scores: values.scores.subarray(start, end), probs: values.probs.subarray(start, end) };
  };

  /** A cell's colour step in the thumbnail; of a long text, that of its block of cells. */
  const roughStep = (/** @type {number} */ layer, /** @type {number} */ head, /** @type {number} */ query, /** @type {number} */ key) => {
    const cells = cellCount(Math.ceil(names.length / picture.block));
    const cell = cellNumber(Math.floor(query / picture.block), Math.floor(key / picture.block));
    return thumbs[(layer * picture.heads + head) * cells + cell];
  };
  const roughProbability = (/** @type {Parameters<typeof roughStep>} */ ...place) => (roughStep(...place) / 255) ** 2;

  // ---- the pieces ----

  const heads = headGrid({ pick: (layer, head) => stage.choose({ layer, head }), point: pointAtHead });
  const matrix = attentionMatrix({ pick: stage.choose, point: pointAtCell });
  const scale = legend();
  const ledger = scoreLedger();
  const headTitle = make("h3", { class: "bl-title" });
  const modes = toggles({ id: `${stage.id}-mode`, says: "what the colours show", choices: MODES, choose: (mode) => stage.choose({ mode }) });
  stage.body.append(
    make(
      "div",
      { class: "bl-panels" },
      make(
        "section",
        { class: "bl-panel bl-panel-heads", "aria-label": "all heads" },
        make("h3", { class: "bl-title" }, "every head ", make("span", { class: "bl-how" }, "layer ↓ · head →")),
        heads.element,
      ),
      make(
        "section",
        { class: "bl-panel bl-panel-matrix", "aria-label": "one head" },
        headTitle,
        modes.element,
        make("p", { class: "bl-how" }, "row: who is looking · query ↓    column: at whom · key →"),
        matrix.element,
        scale.element,
      ),
      ledger.element,
    ),
  );

  // ---- pointing ----

  /** @param {import("./lib/causal.js").Cell | null} cell */
  function pointAtCell(cell) {
    pointed = cell ?? { query: null, key: null };
    stage.drawSoon();
  }

  /** @param {{layer: number, head: number} | null} place */
  function pointAtHead(place) {
    if (place?.layer === pointedHead?.layer && place?.head === pointedHead?.head) return;
    pointedHead = place;
    stage.drawSoon();
  }

  // ---- drawing: the picture when a text was read, the head when another is chosen, marks all the time ----

  function readExact() {
    exact = stage.get("exact") ?? { first: 0, count: 0 };
    values = { scores: floats(stage.get("scores")), probs: floats(stage.get("probs")) };
    painted = "";
  }

  let painted = "";
  function paintHead() {
    const { layer, head, mode } = chosen();
    const found = exactOf(layer, head);
    const key = [layer, head, mode, found !== null].join();
    if (key === painted) return;
    painted = key;
    const slope = picture.slopes[head];
    headTitle.replaceChildren(
      `layer ${layer}, head ${head} `,
      make("span", { class: "bl-how" }, `slope ${slopeName(slope)} · reach ${fixed(3 / slope, 0)} tokens`),
    );
    headTitle.title = "reach: how far back ALiBi has taken 3 nats off, leaving a twentieth of the weight";
    if (mode === "probability" || !found) {
      matrix.paint(PROBABILITY_COLOURS, (cell, query, key) =>
        found ? probabilityStep(found.probs[cell]) : roughStep(layer, head, query, key),
      );
      scale.show(PROBABILITY_COLOURS, "probability", PROBABILITY_TICKS);
      set(matrix.element, { "data-colours": "probability", "data-limit": 1 });
      return;
    }
    const limit = largestPart(found, slope, names.length);
    const colours = divergingColours(stage.body);
    matrix.paint(colours, (cell, query, key) => signedStep(shownValue(found, slope, mode, cell, query, key), limit));
    const ticks = /** @type {[number, string][]} */ ([[0, fixed(-limit, 1)], [0.5, "0"], [1, `+${fixed(limit, 1)}`]]);
    scale.show(colours, `${mode === "both" ? "content + position" : mode}, nats`, ticks);
    set(matrix.element, { "data-colours": "signed", "data-limit": limit });
  }

  function draw() {
    paintHead();
    const { layer, head, query, key, mode } = chosen();
    const shownHead = pointedHead ?? { layer, head };
    const found = exactOf(shownHead.layer, shownHead.head);
    const share = (/** @type {number} */ from, /** @type {number} */ to) =>
      found ? found.probs[cellNumber(from, to)] : roughProbability(shownHead.layer, shownHead.head, from, to);
    // a cell under the pointer is explained at once; a token alone only lights up
    const onCell = pointed.query !== null && pointed.key !== null && pointed.key < pointed.query;
    const onDiagonal = pointed.query !== null && pointed.query === pointed.key && matrix.element.matches(":hover");
    const cell = onCell || onDiagonal ? { query: Number(pointed.query), key: Number(pointed.key) } : { query, key };

    stage.mark(cell, pointed.key ?? pointed.query, (token) => share(cell.query, token));
    heads.mark({ layer, head }, pointedHead, pointed, names.length);
    matrix.mark({ query, key }, pointed);
    modes.mark(mode);
    const exactHead = exactOf(layer, head);
    ledger.show(
      names,
      cell,
      picture.slopes[head],
      exactHead && ledgerOf(exactHead, picture.slopes[head], cell.query, cell.key),
      roughProbability(layer, head, cell.query, cell.key),
      stage.get("live"),
    );
    const where = `layer ${shownHead.layer}, head ${shownHead.head}: token ${cell.query} `;
    const who = cell.query === cell.key ? ["itself"] : [`token ${cell.key} `, quoted(names[cell.key])];
    const p = share(cell.query, cell.key);
    stage.say(where, quoted(names[cell.query]), " looks at ", ...who, ` with probability ${found ? "" : "≈ "}${probability(p)}`);
    stage.showCode(picture, { layer, head, query, key });
    set(stage.root, { "data-mode": mode });
  }

  stage.listen("change:exact change:scores change:probs", () => {
    readExact();
    stage.drawNow();
  });
  stage.listen("change:mode", stage.drawNow);

  return {
    draw,

    show(found) {
      picture = found;
      names = tokenNames(picture);
      thumbs = bytes(stage.get("thumbs"));
      readExact();
      pointed = { query: null, key: null };
      pointedHead = null;
      heads.show(picture, thumbs, stage.id);
      matrix.show(names);
    },

    fit() {
      painted = "";
      matrix.fit();
    },

    point(token) {
      pointed = { query: token, key: token };
      stage.drawSoon();
    },
  };
}

export default {
  render: (/** @type {{model: any, el: HTMLElement}} */ view) => viewFrame({ ...view, name: "attention", makePanel: attentionPanel }),
};
