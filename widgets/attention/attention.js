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
//   input[name][value="content|position|both|probability"]          what the colours show of one head
//   input[name][value="head|layer|all|rollout"]                     whose pattern: data-pattern of the root
//   [data-part="shares"]                   data-exact; [data-share="position|content"]: how much each alone explains
//   [data-part="arcs"]                     takes the arrow keys; data-arcs: how many; [data-part="arcs-canvas"]
//   [data-part="look"]                     why this look: its score as parts of query × key; look.js
//   [data-part="block"]                    several looks together, chosen with shift: what they sum to; block.js
//   [data-part="forms"]                    slope × key beside slope × distance; data-error
//   [data-part="live"]                     one sentence about the cell, read aloud by screen readers
//   [data-part="code"], [data-part="copy"], [data-part="stamp"]
// Colours of probabilities: step round(255·√p) of cividis; of signed numbers: step round(127.5 + 127.5·x/limit).
import { tokenArcs } from "./arcs.js";
import { bytes, floats, largestPart, ledgerOf, shownValue, tokenNames, cellCount, cellNumber } from "../lib/causal.js";
import { divergingColours, paintCausal, PROBABILITY_COLOURS, probabilityStep, signedStep } from "../lib/colours.js";
import { direction, make, quoted, set } from "../lib/dom.js";
import { blockOf, lookBlock } from "./block.js";
import { changeMenu } from "../lib/change.js";
import { lookChange } from "./change.js";
import { firstLook } from "./first.js";
import { alibiForms } from "./forms.js";
import { inForms } from "../lib/forms.js";
import { viewFrame } from "../lib/frame.js";
import { headGrid } from "./heads.js";
import { scoreLedger } from "./ledger.js";
import { lookReceipt } from "./look.js";
import { legend } from "../lib/legend.js";
import { attentionMatrix } from "./matrix.js";
import { fixed, probability, signed, slopeName } from "../lib/numbers.js";
import { patternShares } from "./shares.js";
import { toggles } from "../lib/toggles.js";
import { stepper } from "../lib/zones.js";

const MODES = [
  ["content", "content", "q·k/√d, how well a key fits what the query asks for"],
  ["position", "position", "ALiBi, slope × distance: the farther back, the lower"],
  ["both", "both", "content + position, what goes into the softmax"],
  ["probability", "probability", "softmax: the share of its attention that a token gives to another"],
];
const PATTERNS = [
  ["head", "this head", "where one head looks, and what its sum is made of"],
  ["layer", "mean of the layer", "the mean over the heads of this layer; content and position are parts of one head's sum only"],
  ["all", "mean of all", "the mean over all heads of all layers; content and position are parts of one head's sum only"],
  ["rollout", "rollout", "how much of each column stems from each token, if attention were all: half of it stays, half comes from where the heads look on average, layer after layer (Abnar and Zuidema, 2020)"],
];
const WHOLE_TABLE = 512; // tokens: of a longer text only the chosen row is copied
const LEAST_CHANGE = 0.01; // a change of less than this is not painted as if it were large
const PROBABILITY_TICKS = /** @type {[number, string][]} */ (
  [0, 0.01, 0.1, 0.25, 0.5, 1].map((p) => [Math.sqrt(p), String(p)])
);

/**
 * In the form that `level` names: for a first look, one row of one head; or the whole of it.
 * @param {import("../lib/frame.js").Stage} stage
 * @returns {import("../lib/frame.js").Panel}
 */
export function attentionPanel(stage) {
  return inForms(stage, () => stage.get("level"), { whole: wholeAttention, first: firstLook });
}

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @returns {import("../lib/frame.js").Panel}
 */
function wholeAttention(stage) {
  // ---- what the page sets and shows ----

  let picture = /** @type {import("../lib/causal.js").Picture} */ (/** @type {unknown} */ (null));
  let names = /** @type {string[]} */ ([]);
  let thumbs = /** @type {Uint8Array} */ (new Uint8Array());
  let exact = { first: 0, count: 0 };
  let values = /** @type {import("../lib/causal.js").HeadValues} */ ({ scores: floats(null), probs: floats(null) });
  let before = floats(null); // of a difference: the probabilities that it is measured by
  let averages = { which: /** @type {[string, number][]} */ ([]), values: floats(null) };
  let read = 0; // counts the arrivals of values
  let pointed = /** @type {{query: number | null, key: number | null}} */ ({ query: null, key: null });
  let pointedHead = /** @type {{layer: number, head: number} | null} */ (null);

  const chosen = () => ({
    layer: stage.get("layer"),
    head: stage.get("head"),
    query: stage.get("query"),
    key: Math.min(stage.get("key"), stage.get("query")),
    pattern: stage.get("pattern"),
    mode: stage.get("pattern") === "head" && !lacks() ? stage.get("mode") : "probability",
  });
  const lacks = () => differs() || Boolean(/** @type {any} */ (picture)?.given); // what a probability is the sum of
  const differs = () => Boolean(/** @type {any} */ (picture)?.difference);

  let lastDifference = { of: "", values: /** @type {Float32Array | null} */ (null) }; // it is asked for with every move of the pointer
  const differenceOf = (/** @type {ReturnType<typeof exactOf>} */ values, /** @type {string} */ of) => {
    if (!values || values.before.length !== values.probs.length) return null;
    if (lastDifference.of !== of) lastDifference = { of, values: values.probs.map((p, cell) => p - values.before[cell]) };
    return lastDifference.values;
  };

  /** The pattern that is shown, of one head or of several together, if it is here; of two runs, their difference. */
  const shownPattern = () => {
    const { layer, head, pattern } = chosen();
    if (pattern === "head") {
      const values = exactOf(layer, head);
      return differs() ? differenceOf(values, [read, layer, head].join()) : (values?.probs ?? null);
    }
    const at = averages.which.findIndex(([name, of]) => name === pattern && (of === layer || pattern === "all"));
    const cells = cellCount(names.length);
    const mean = averages.values.subarray(at * cells, (at + 1) * cells);
    return at >= 0 && mean.length === cells ? mean : null;
  };
  /** What is shown, in words. */
  const patternName = () => {
    const { layer, head, pattern } = chosen();
    return {
      head: `layer ${layer}, head ${head}`,
      layer: `mean of the ${picture.heads} heads of layer ${layer}`,
      all: `mean of all ${picture.layers * picture.heads} heads`,
      rollout: `rollout up to layer ${layer}`,
    }[/** @type {"head"} */ (pattern)];
  };

  /** The exact values of a head, if they are here. */
  const exactOf = (/** @type {number} */ layer, /** @type {number} */ head) => {
    const place = layer * picture.heads + head - exact.first;
    if (place < 0 || place >= exact.count) return null;
    const cells = cellCount(names.length);
    const [start, end] = [place * cells, (place + 1) * cells];
    if (values.probs.length < end) return null;
    return { scores: values.scores.subarray(start, end), probs: values.probs.subarray(start, end), before: before.subarray(start, end) };
  };

  /** A cell's colour step in the thumbnail; of a long text, that of its block of cells. */
  const roughStep = (/** @type {number} */ layer, /** @type {number} */ head, /** @type {number} */ query, /** @type {number} */ key) => {
    const cells = cellCount(Math.ceil(names.length / picture.block));
    const cell = cellNumber(Math.floor(query / picture.block), Math.floor(key / picture.block));
    return thumbs[(layer * picture.heads + head) * cells + cell];
  };
  const roughProbability = (/** @type {[number, number, number, number]} */ ...place) =>
    differs() ? (roughStep(...place) - 128) / 127.5 : (roughStep(...place) / 255) ** 2;

  // ---- the pieces ----

  const heads = headGrid({ pick: (layer, head) => stage.choose({ layer, head }), point: pointAtHead });
  const none = { to_query: -1, to_key: -1 };
  const matrix = attentionMatrix({
    pick: (cell) => stage.choose(stage.get("to_query") < 0 ? cell : { ...cell, ...none }),
    extend: ({ query, key }) => stage.choose({ to_query: query, to_key: key }),
    point: pointAtCell,
  });
  const together = lookBlock();
  const scale = legend();
  const ledger = scoreLedger();
  const forms = alibiForms();
  const shares = patternShares();
  const look = lookReceipt(stage);
  const change = lookChange({ pick: stage.choose, hold: () => stage.wish({ do: "held" }) });
  const menu = changeMenu(stage);
  const arcs = tokenArcs({ pick: stage.choose, point: pointAtCell, pointToken: pointAtToken });
  const about = make("p", { class: "bl-how bl-about", "data-part": "about" });
  const headTitle = make("h3", { class: "bl-title" });
  const modes = toggles({ id: `${stage.id}-mode`, says: "what the colours show", choices: MODES, choose: (mode) => stage.choose({ mode }) });
  const whose = toggles({ id: `${stage.id}-pattern`, says: "whose pattern", choices: PATTERNS, choose: (pattern) => stage.choose({ pattern }) });
  stage.which.append(
    make(
      "section",
      { class: "bl-panel", "aria-label": "all heads" },
      make("h3", { class: "bl-title" }, "which head ", make("span", { class: "bl-how" }, "layer ↓ · head →")),
      heads.element,
      whose.element,
      about,
    ),
  );
  const steps = stepper(stage, ["layer", "head"]);
  stage.where.append(
    steps.element,
    make(
      "section",
      { class: "bl-panel bl-panel-matrix", "aria-label": "one head" },
      headTitle,
      modes.element,
      make("p", { class: "bl-hidden" }, "row: who is looking, the query; column: at whom, the key"),
      matrix.element,
      scale.element,
    ),
  );
  stage.why.append(menu.element, together.element, change.element, ledger.element, look.element, shares.element);
  stage.more.append(arcs.element, forms.element);

  // ---- pointing ----

  /** @param {import("../lib/causal.js").Cell | null} cell */
  function pointAtCell(cell) {
    pointed = cell ?? { query: null, key: null };
    stage.drawSoon();
  }

  /** @param {number | null} token */
  function pointAtToken(token) {
    pointed = { query: token, key: token };
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
    read += 1;
    exact = stage.get("exact") ?? { first: 0, count: 0 };
    values = { scores: floats(stage.get("scores")), probs: floats(stage.get("probs")) };
    before = floats(stage.get("before"));
    averages = { which: stage.get("averaged")?.patterns ?? [], values: floats(stage.get("averages")) };
    painted = "";
  }

  let painted = "";
  function paintHead() {
    const { layer, head, mode, pattern } = chosen();
    const exact = exactOf(layer, head);
    const probs = shownPattern();
    const key = [layer, head, mode, pattern, probs !== null, stage.get("live")].join();
    if (key === painted) return;
    painted = key;
    const slope = picture.slopes[head];
    const waits = stage.get("live") ? "fetching it …" : "not in the page";
    const more = /** @type {any} */ (picture).given ? "your own" : pattern === "head" ? `slope ${slopeName(slope)} · reach ${fixed(3 / slope, 0)} tokens` : probs ? "" : waits;
    headTitle.replaceChildren(`${patternName()} `, make("span", { class: "bl-how" }, `${more}${more && " · "}query ↓ key →`));
    headTitle.title = pattern === "head" ? "reach: how far back ALiBi has taken 3 nats off, leaving a twentieth of the weight" : "";
    about.textContent = String(PATTERNS.find(([name]) => name === pattern)?.[2]);
    for (const { element } of [shares, ledger, forms, look]) element.hidden = lacks(); // what they say is of one run of the model
    arcs.element.hidden = differs() || names.length < 2;
    change.element.hidden = !differs();
    shares.show(lacks() ? null : exact, slope, names.length, `layer ${layer}, head ${head}`);
    modes.enable(pattern === "head" && !lacks());
    if (differs()) {
      const colours = divergingColours(stage.body);
      const limit = (probs ?? new Float32Array()).reduce((most, change) => Math.max(most, Math.abs(change)), LEAST_CHANGE);
      matrix.paint(colours, (cell, query, key) => signedStep(probs ? probs[cell] : pattern === "head" ? roughProbability(layer, head, query, key) : 0, limit));
      scale.show(colours, "change of probability", [[0, signed(-limit, 2)], [0.5, "0"], [1, signed(limit, 2)]]);
      set(matrix.element, { "data-colours": "signed", "data-limit": limit, "data-exact": String(probs !== null) });
      return;
    }
    if (mode === "probability" || !exact) {
      matrix.paint(PROBABILITY_COLOURS, (cell, query, key) =>
        probs ? probabilityStep(probs[cell]) : pattern === "head" ? roughStep(layer, head, query, key) : 0,
      );
      scale.show(PROBABILITY_COLOURS, pattern === "rollout" ? "share of the column" : "probability", PROBABILITY_TICKS);
      set(matrix.element, { "data-colours": "probability", "data-limit": 1, "data-exact": String(probs !== null) });
      return;
    }
    const limit = largestPart(exact, slope, names.length);
    const colours = divergingColours(stage.body);
    matrix.paint(colours, (cell, query, key) => signedStep(shownValue(exact, slope, mode, cell, query, key), limit));
    const ticks = /** @type {[number, string][]} */ ([[0, fixed(-limit, 1)], [0.5, "0"], [1, `+${fixed(limit, 1)}`]]);
    scale.show(colours, `${mode === "both" ? "content + position" : mode}, nats`, ticks);
    set(matrix.element, { "data-colours": "signed", "data-limit": limit });
  }

  function draw() {
    paintHead();
    const { layer, head, query, key, mode, pattern } = chosen();
    const shownHead = pointedHead ?? { layer, head };
    const shownValues = exactOf(shownHead.layer, shownHead.head);
    const probs = pointedHead && !differs() ? shownValues?.probs : pointedHead ? null : shownPattern();
    const rough = pointedHead !== null || pattern === "head"; // a thumbnail is there; of a mean there is none
    const share = (/** @type {number} */ from, /** @type {number} */ to) =>
      probs ? probs[cellNumber(from, to)] : rough ? roughProbability(shownHead.layer, shownHead.head, from, to) : 0;
    // a cell under the pointer is explained at once; a token alone only lights up
    const onCell = pointed.query !== null && pointed.key !== null && pointed.key < pointed.query;
    const onDiagonal = pointed.query !== null && pointed.query === pointed.key && matrix.element.matches(":hover");
    const cell = onCell || onDiagonal ? { query: Number(pointed.query), key: Number(pointed.key) } : { query, key };

    stage.mark(cell, pointed.key ?? pointed.query, (probs || rough) && !differs() ? (token) => share(cell.query, token) : null);
    heads.mark({ layer, head }, pointedHead, pointed, names.length);
    const other = { query: stage.get("to_query"), key: stage.get("to_key") };
    const block = blockOf({ query, key }, other, names.length);
    matrix.mark({ query, key }, pointed, block, other);
    together.show(block, shownPattern(), names, differs());
    modes.mark(mode);
    whose.mark(pattern);
    const exactHead = lacks() ? null : exactOf(layer, head);
    ledger.show(
      names,
      cell,
      picture.slopes[head],
      exactHead && ledgerOf(exactHead, picture.slopes[head], cell.query, cell.key),
      roughProbability(layer, head, cell.query, cell.key),
      stage.get("live"),
      pattern === "head" ? "" : `in layer ${layer}, head ${head}`,
    );
    if (differs()) change.left(stage.get("worth"), Boolean(stage.get("live") && stage.get("editable")));
    else look.show(picture, names, { layer, head, query, key }, exactHead?.probs ?? null);
    const row = pointed.query ?? query;
    const to = pointed.key === null || pointed.key >= row ? key : pointed.key;
    const values = exactOf(layer, head);
    if (differs() && values && values.before.length) {
      const number = cellNumber(cell.query, cell.key);
      change.show(names, cell, values.before[number], values.probs[number]);
    }
    arcs.draw(differs() ? null : shownPattern(), patternName(), read, { query, key }, { query: row, key: Math.min(to, row) });
    forms.show(names, { query, key }, picture.slopes[head], exactHead, [read, layer, head].join());
    const who = cell.query === cell.key ? ["itself"] : [`token ${cell.key} `, quoted(names[cell.key])];
    const now = share(cell.query, cell.key);
    const p = differs() ? `a probability changed by ${now === 0 ? "0" : signed(now)}` : probs || rough ? `${probs ? "" : "≈ "}${probability(share(cell.query, cell.key))}` : "…";
    const whole = pointedHead ? `layer ${pointedHead.layer}, head ${pointedHead.head}` : patternName();
    const verb = pattern === "rollout" && !pointedHead ? " stems from " : " looks at ";
    const how = differs() ? `, with ${p}` : pattern === "rollout" && !pointedHead ? `, a share of ${p}` : ` with probability ${p}`;
    stage.say(`${whole}: token ${cell.query} `, quoted(names[cell.query]), verb, ...who, how);
    steps.mark({ layer: picture.layers, head: picture.heads });
    menu.show(picture, names, { layer, head, query, key, part: "head" });
    stage.showCode(/** @type {any} */ ({ code: [.../** @type {any} */ (picture).code, "more"] }), { layer, head, query, key, pattern, more: stage.get("look").code + blockCode(block) });
    set(stage.root, { "data-mode": mode, "data-pattern": pattern });
  }

  stage.listen("change:exact change:scores change:probs change:before change:averaged change:averages", () => {
    readExact();
    stage.drawOnce();
  });
  /** @param {import("./block.js").Block | null} block */
  function blockCode(block) {
    if (!block) return "";
    const { layer, head, pattern } = chosen();
    const whose = /** @type {any} */ (picture).given ? `probs[${layer}, ${head}]` : `patterns["${pattern}"]`;
    const { queries, keys } = block;
    return `print(${whose}[${queries[0]}:${queries[1] + 1}, ${keys[0]}:${keys[1] + 1}].sum())  # together, of ${queries[1] - queries[0] + 1}\n`;
  }

  stage.listen("change:to_query change:to_key change:mode change:pattern change:look change:explaining change:against change:look_over", stage.drawOnce);

  return {
    draw,

    show(another) {
      picture = another;
      names = tokenNames(picture);
      thumbs = bytes(stage.get("thumbs"));
      readExact();
      pointed = { query: null, key: null };
      pointedHead = null;
      heads.show(picture, stage.id);
      const [side, colours] = [Math.ceil(names.length / picture.block), differs() ? divergingColours(stage.body) : PROBABILITY_COLOURS];
      heads.paint((canvas, layer, head) => paintCausal(canvas, side, colours, (cell) => thumbs[(layer * picture.heads + head) * cellCount(side) + cell]));
      if (differs()) change.list(picture, names);
      matrix.show(names);
      arcs.show(names, direction(picture.text));
    },

    fit() {
      painted = "";
      matrix.fit();
      arcs.fit();
    },

    point: pointAtToken,

    tables() {
      const cells = shownPattern();
      if (!cells) return [];
      const { layer, head, query, mode } = chosen();
      const parts = mode === "probability" ? null : exactOf(layer, head);
      const value = (/** @type {number} */ row, /** @type {number} */ key) => (parts ? shownValue(parts, picture.slopes[head], mode, cellNumber(row, key), row, key) : cells[cellNumber(row, key)]);
      const line = (/** @type {number} */ row) => [`${row} ${names[row]}`, ...names.map((_, key) => (key <= row ? String(Number(value(row, key).toPrecision(7))) : ""))];
      const all = names.length <= WHOLE_TABLE;
      const title = `${all ? "the matrix" : `row ${query} of the matrix`}: ${patternName()}, ${differs() ? "change of probability" : mode}`;
      return [{ title, rows: () => [["query \\ key", ...names.map((name, key) => `${key} ${name}`)], ...(all ? names.map((_, row) => line(row)) : [line(query)])] }];
    },
  };
}

export default {
  render: (/** @type {{model: any, el: HTMLElement}} */ view) => viewFrame({ ...view, name: "attention", makePanel: attentionPanel }),
};
