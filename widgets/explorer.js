// @ts-check
// The explorer: a text box, the token strip, every attention head in small, one head's matrix, and the sum behind
// one cell. All of it is linked: point at a token, a head or a cell, and it lights up everywhere.
//
// What tests and other views can rely on:
//   .bloomlab[data-view="explorer"]        the root; data-state = ready | working | empty | error;
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
import { PROBABILITY_COLOURS, probabilityStep, signedColours, signedStep } from "./lib/colours.js";
import { codeBlock } from "./lib/code.js";
import { lastOf, make, pushButton, quoted, set, themeColour } from "./lib/dom.js";
import { headGrid } from "./lib/heads.js";
import { scoreLedger } from "./lib/ledger.js";
import { legend } from "./lib/legend.js";
import { attentionMatrix } from "./lib/matrix.js";
import { fixed, probability, slopeName } from "./lib/numbers.js";
import { tokenStrip } from "./lib/strip.js";
import { textBox } from "./lib/textbox.js";

const SENDING_PAUSE = 60; // milliseconds without a step before a selection is sent

const MODES = [
  ["content", "content", "q·k/√d, how well a key fits what the query asks for"],
  ["position", "position", "ALiBi, slope × distance: the farther back, the lower"],
  ["both", "both", "content + position, what goes into the softmax"],
  ["probability", "probability", "softmax: the share of its attention that a token gives to another"],
];
const PROBABILITY_TICKS = /** @type {[number, string][]} */ (
  [0, 0.01, 0.1, 0.25, 0.5, 1].map((p) => [Math.sqrt(p), String(p)])
);
const EXAMPLES = ["Leo lives in Oslo.", "猫坐在垫子上。", "القطة تنام هنا."];

/**
 * @param {{model: any, el: HTMLElement}} view
 * @returns {() => void} cleans up
 */
function render({ model, el }) {
  const id = `bl-${Math.random().toString(36).slice(2, 10)}`;
  const undo = /** @type {(() => void)[]} */ ([]);

  // ---- what is known ----

  let picture = /** @type {import("./lib/causal.js").Picture | null} */ (null);
  let names = /** @type {string[]} */ ([]);
  let thumbs = /** @type {Uint8Array} */ (new Uint8Array());
  let exact = { first: 0, count: 0 };
  let values = /** @type {import("./lib/causal.js").HeadValues} */ ({ scores: floats(null), probs: floats(null) });
  let pointed = /** @type {{query: number | null, key: number | null}} */ ({ query: null, key: null });
  let pointedHead = /** @type {{layer: number, head: number} | null} */ (null);
  let asked = 0; // the number of the last text typed here
  let trouble = ""; // what the page itself found wrong
  let drawn = 0;

  const chosen = () => ({
    layer: model.get("layer"),
    head: model.get("head"),
    query: model.get("query"),
    key: Math.min(model.get("key"), model.get("query")),
    mode: model.get("mode"),
  });

  /** The exact values of a head, if they are here. */
  const exactOf = (/** @type {number} */ layer, /** @type {number} */ head) => {
    const place = picture ? layer * picture.heads + head - exact.first : -1;
    if (place < 0 || place >= exact.count) return null;
    const cells = cellCount(names.length);
    const [start, end] = [place * cells, (place + 1) * cells];
    if (values.probs.length < end) return null;
    return { scores: values.scores.subarray(start, end), probs: values.probs.subarray(start, end) };
  };

  /** A cell's colour step in the thumbnail; of a long text, that of its block of cells. */
  const roughStep = (/** @type {number} */ layer, /** @type {number} */ head, /** @type {number} */ query, /** @type {number} */ key) => {
    if (!picture) return 0;
    const cells = cellCount(Math.ceil(names.length / picture.block));
    const cell = cellNumber(Math.floor(query / picture.block), Math.floor(key / picture.block));
    return thumbs[(layer * picture.heads + head) * cells + cell];
  };
  const roughProbability = (/** @type {Parameters<typeof roughStep>} */ ...place) => (roughStep(...place) / 255) ** 2;

  // ---- the pieces ----

  const box = textBox({ id, send: ask, cancel });
  const strip = tokenStrip({ pick: pickToken, point: pointAtToken });
  const heads = headGrid({ pick: (layer, head) => choose({ layer, head }), point: pointAtHead });
  const matrix = attentionMatrix({ pick: choose, point: pointAtCell });
  const scale = legend();
  const ledger = scoreLedger();
  const headTitle = make("h3", { class: "bl-title" });
  const live = make("p", { class: "bl-live", role: "status", "aria-live": "polite", "data-part": "live" });
  const toggles = MODES.map(([mode, word, plain]) => {
    const input = make("input", {
      type: "radio",
      name: `${id}-mode`,
      value: mode,
      id: `${id}-${mode}`,
      "data-lm-suppress-shortcuts": "true",
    });
    input.addEventListener("change", () => choose({ mode }));
    return { input, label: make("label", { class: "bl-toggle", for: `${id}-${mode}`, title: plain }, input, word) };
  });
  const code = codeBlock();
  const stamp = make("p", { class: "bl-stamp", "data-part": "stamp" });
  const examples = EXAMPLES.map((example) => pushButton(example, { dir: "auto" }, () => box.write(example)));
  const hint = make(
    "div",
    { class: "bl-empty", "data-part": "empty" },
    make("p", {}, "Type a sentence above. BLOOM reads it as you type, and you look inside."),
    make("p", { class: "bl-row" }, ...examples),
  );

  const panels = make(
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
      make(
        "fieldset",
        { class: "bl-toggles" },
        make("legend", { class: "bl-hidden" }, "what the colours show"),
        ...toggles.map(({ label }) => label),
      ),
      make("p", { class: "bl-how" }, "row: who is looking · query ↓    column: at whom · key →"),
      matrix.element,
      scale.element,
    ),
    ledger.element,
  );
  const body = make("div", { class: "bl-body" }, strip.element, live, panels);
  const foot = make("div", { class: "bl-foot" }, code.element, stamp);
  const root = make(
    "div",
    { class: "bloomlab", "data-view": "explorer" },
    make(
      "div",
      { class: "bl-view" },
      box.element,
      hint,
      body,
      foot,
    ),
  );
  el.append(root);

  // ---- choosing and pointing ----

  const send = lastOf(SENDING_PAUSE, () => model.save_changes());
  undo.push(send.cancel, box.close);

  /** @param {Partial<{layer: number, head: number, query: number, key: number, mode: string}>} places */
  function choose(places) {
    for (const [name, value] of Object.entries(places)) model.set(name, value);
    send();
  }

  /** @param {number} token @param {boolean} asKey */
  function pickToken(token, asKey) {
    const { query, key } = chosen();
    choose(asKey ? { query: Math.max(query, token), key: token } : { query: token, key: Math.min(key, token) });
  }

  /** @param {number | null} token */
  function pointAtToken(token) {
    pointed = { query: token, key: token };
    drawSoon();
  }

  /** @param {import("./lib/causal.js").Cell | null} cell */
  function pointAtCell(cell) {
    pointed = cell ?? { query: null, key: null };
    drawSoon();
  }

  /** @param {{layer: number, head: number} | null} place */
  function pointAtHead(place) {
    if (place?.layer === pointedHead?.layer && place?.head === pointedHead?.head) return;
    pointedHead = place;
    drawSoon();
  }

  let frame = 0;
  /** The pointer moves more often than the screen is drawn. */
  function drawSoon() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  }
  undo.push(() => cancelAnimationFrame(frame));

  // ---- drawing: the picture when a text was read, the head when another is chosen, marks all the time ----

  let source = /** @type {unknown} */ (undefined); // the trait that was read, to tell when another has come
  function readPicture() {
    const found = (source = model.get("picture"));
    picture = found && found.tokens ? found : null;
    names = picture ? tokenNames(picture) : [];
    thumbs = bytes(model.get("thumbs"));
    readExact();
    if (!picture) return;
    pointed = { query: null, key: null };
    if (!waiting()) box.show(picture.text);
    strip.show(picture, id);
    heads.show(picture, thumbs, id);
    matrix.show(names);
    stamp.textContent = picture.stamp;
    drawn += 1;
    set(root, { "data-tokens": names.length, "data-drawn": drawn });
  }

  function readExact() {
    exact = model.get("exact") ?? { first: 0, count: 0 };
    values = { scores: floats(model.get("scores")), probs: floats(model.get("probs")) };
  }

  let painted = "";
  function paintHead(again = false) {
    if (!picture) return;
    const { layer, head, mode } = chosen();
    const found = exactOf(layer, head);
    const key = [drawn, layer, head, mode, exact.first, found !== null].join();
    if (key === painted && !again) return;
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
    const colours = signedColours(...poles());
    matrix.paint(colours, (cell, query, key) => signedStep(shownValue(found, slope, mode, cell, query, key), limit));
    const ticks = /** @type {[number, string][]} */ ([[0, fixed(-limit, 1)], [0.5, "0"], [1, `+${fixed(limit, 1)}`]]);
    scale.show(colours, `${mode === "both" ? "content + position" : mode}, nats`, ticks);
    set(matrix.element, { "data-colours": "signed", "data-limit": limit });
  }

  const poles = () =>
    /** @type {[number[], number[], number[]]} */ (
      ["--bl-negative", "--bl-zero", "--bl-positive"].map((name) => themeColour(root, name))
    );

  function draw() {
    if (model.get("picture") !== source) return; // a selection may arrive just before the picture it belongs to
    drawState();
    if (!picture) return;
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

    strip.mark(cell, pointed.key ?? pointed.query, (token) => share(cell.query, token));
    heads.mark({ layer, head }, pointedHead, pointed, names.length);
    matrix.mark({ query, key }, pointed);
    const exactHead = exactOf(layer, head);
    ledger.show(
      names,
      cell,
      picture.slopes[head],
      exactHead && ledgerOf(exactHead, picture.slopes[head], cell.query, cell.key),
      roughProbability(layer, head, cell.query, cell.key),
      model.get("live"),
    );
    const where = `layer ${shownHead.layer}, head ${shownHead.head}: token ${cell.query} `;
    const who = cell.query === cell.key ? ["itself"] : [`token ${cell.key} `, quoted(names[cell.key])];
    const p = share(cell.query, cell.key);
    live.replaceChildren(where, quoted(names[cell.query]), " looks at ", ...who, ` with probability ${found ? "" : "≈ "}${probability(p)}`);
    const python = picture.code
      .map((part, i) => (i % 2 ? String({ layer, head, query, key }[/** @type {"layer"} */ (part)]) : part))
      .join("");
    code.show(python);
    for (const { input } of toggles) input.checked = input.value === mode;
    set(root, { "data-layer": layer, "data-head": head, "data-query": query, "data-key": key, "data-mode": mode });
  }

  /** The four states: a picture, working, nothing yet, an error. */
  function drawState() {
    const state = trouble ? "error" : waiting() ? "working" : model.get("state");
    const saved = model.get("live") ? "" : "a saved page · ";
    const tokens = `${names.length} ${names.length === 1 ? "token" : "tokens"}`;
    const message = {
      ready: `${saved}${tokens}; the number under each is the id that the model is fed`,
      working: `reading ${box.length()} characters …`,
      empty: "nothing to read yet",
      error: `${trouble || model.get("message")}${picture ? " · the picture below is still the one before" : ""}`,
    }[/** @type {"ready"} */ (state)];
    box.say(message, state === "error", state === "working" && picture !== null);
    set(root, { "data-state": state });
    hint.hidden = state !== "empty";
    body.hidden = foot.hidden = state === "empty" || !picture;
  }

  // ---- reading another text ----

  /** Whether the last text typed here has no answer yet. */
  function waiting() {
    return model.get("live") && asked > model.get("answered");
  }

  /** @param {string} text @param {string} problem */
  function ask(text, problem) {
    trouble = problem;
    if (!problem) {
      asked = Math.max(asked, model.get("typed").number, model.get("answered")) + 1;
      model.set("typed", { text, number: asked });
      model.save_changes();
    }
    draw();
  }

  function cancel() {
    box.write(picture?.text ?? "");
    asked = model.get("answered"); // nothing is waited for, whatever Python is doing
    draw();
  }

  // ---- listening ----

  /** Errors are shown where the person looks, and the last good picture stays. */
  const safely = (/** @type {() => void} */ step) => () => {
    try {
      step();
    } catch (error) {
      trouble = `the page could not draw this: ${error}`;
      drawState();
      throw error;
    }
  };
  const listen = (/** @type {string} */ change, /** @type {() => void} */ step) => {
    const guarded = safely(step);
    model.on(change, guarded);
    undo.push(() => model.off(change, guarded));
  };
  listen("change:picture", () => {
    readPicture();
    draw();
  });
  listen("change:exact change:scores change:probs", () => {
    readExact();
    draw();
  });
  listen("change:layer change:head change:query change:key change:mode", draw);
  listen("change:state change:message change:answered", draw);
  const applyScale = () => {
    root.style.setProperty("--bl-scale", String(model.get("scale") ?? 1));
    matrix.fit();
  };
  listen("change:scale", applyScale);

  const repaint = () => paintHead(true);
  const resized = new ResizeObserver(() => {
    matrix.fit();
    repaint(); // the theme's colours are known only once the view stands in the page
  });
  resized.observe(matrix.element);
  undo.push(() => resized.disconnect());
  const themed = new MutationObserver(repaint);
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  undo.push(() => themed.disconnect());
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", repaint);
  undo.push(() => system.removeEventListener("change", repaint));

  if (!model.get("live")) box.freeze("a saved page: reading another text needs the model");
  safely(() => {
    readPicture();
    applyScale();
    draw();
  })();

  return () => {
    for (const step of undo) step();
    root.remove();
  };
}

export default { render };
