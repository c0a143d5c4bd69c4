// @ts-check
// The hidden states: a text box, the token strip, and the residual stream under it: what the model would say at each
// state (the logit lens), how long the vectors are and how they turn, who added what, and a map of the tokens.
//
// What tests and other views can rely on:
//   .bloomlab[data-view="hidden"]          the root; data-state = ready | working | empty | error;
//                                          data-row, data-token, data-mode: what is selected;
//                                          data-tokens: how many there are; data-drawn: counts the pictures drawn
//   [data-part="text"], "says", "cancel"   the text box, the line under it, the button that stops waiting
//   [data-part="strip"] [data-token="N"]   a token
//   [data-part="grid"]                     takes the arrow keys; data-colours = probability | signed; data-limit
//   [data-cell][data-row][data-column]     a cell of it: its word or number; aria-label says all of it
//   [data-part="cell"]                     data-row, data-token: which cell it explains; [data-fact="…"] its numbers
//   [data-part="parts"] [data-share="N"]   what part N added; [data-share="sum"]
//   [data-part="turns"]                    the cosines; takes the arrow keys; data-row, data-other
//   [data-part="map"] [data-dot="N"]       a token on the map; [data-part="slider"] chooses the state
//   input[name][value="prediction|entropy|rank|norm|added"]   the toggles
//   [data-part="live"], "code", "copy", "stamp"
// Colours: probabilities as in the explorer; entropy, rank (log) and norm as a share of the largest; added: signed.
import { floats, tokenNames } from "./lib/causal.js";
import { PROBABILITY_COLOURS, probabilityStep, signedColours, signedStep } from "./lib/colours.js";
import { codeBlock } from "./lib/code.js";
import { isolated, lastOf, make, pushButton, set, themeColour } from "./lib/dom.js";
import { legend } from "./lib/legend.js";
import { fixed, probability, signed } from "./lib/numbers.js";
import { stateCell, streamParts } from "./lib/statecell.js";
import { stateGrid } from "./lib/stategrid.js";
import { stateTurns, tokenMap } from "./lib/statemaps.js";
import { scriptMark, stateName, stateNumbers } from "./lib/states.js";
import { tokenStrip } from "./lib/strip.js";
import { textBox } from "./lib/textbox.js";

const PAUSE = 60; // milliseconds without a step before a selection is sent

const VALUES = [
  ["prediction", "next token", "what it would say next if it stopped here: the logit lens"],
  ["entropy", "entropy", "how unsure it is, in nats"],
  ["rank", "rank", "the place of the token that does follow, 1 for the likeliest"],
  ["norm", "length", "how long the vector is: its norm"],
  ["added", "added", "the share of the last state that this step added; the shares of a column sum to 1"],
];
const TICKS = /** @type {[number, string][]} */ ([0, 0.01, 0.1, 0.25, 0.5, 1].map((p) => [Math.sqrt(p), String(p)]));
const FIRST_TEXTS = ["Leo lives in Oslo.", "猫坐在垫子上。", "القطة تنام هنا."];

/**
 * @param {{model: any, el: HTMLElement}} view
 * @returns {() => void} cleans up
 */
function render({ model, el }) {
  const id = `bl-${Math.random().toString(36).slice(2, 10)}`;
  const undo = /** @type {(() => void)[]} */ ([]);

  // ---- what is known ----

  let picture = /** @type {import("./lib/states.js").HiddenPicture | null} */ (null);
  let names = /** @type {string[]} */ ([]);
  let numbers = /** @type {ReturnType<typeof stateNumbers> | null} */ (null);
  let points = new Float32Array();
  let pointed = /** @type {import("./lib/states.js").Place | null} */ (null);
  let pointedToken = /** @type {number | null} */ (null);
  let asked = 0; // the number of the last text typed here
  let trouble = ""; // what the page itself found wrong
  let drawn = 0;

  const chosen = () => ({ row: model.get("row"), token: Math.min(model.get("token"), names.length - 1), mode: model.get("mode") });

  // ---- the pieces ----

  const box = textBox({ id, send: ask, cancel });
  const strip = tokenStrip({ pick: (token) => choose({ token }), point: pointAtToken });
  set(strip.element, { "aria-label": "tokens; arrow keys choose one" });
  const grid = stateGrid({ pick: choose, point: pointAt });
  const scale = legend();
  const cell = stateCell();
  const parts = streamParts();
  const turns = stateTurns({ pick: (row) => choose({ row }) });
  const map = tokenMap({ id, pick: (token) => choose({ token }), step: (row) => choose({ row }) });
  const live = make("p", { class: "bl-live", role: "status", "aria-live": "polite", "data-part": "live" });
  const toggles = VALUES.map(([mode, word, plain]) => {
    const input = make("input", { type: "radio", name: `${id}-mode`, value: mode, id: `${id}-${mode}`, "data-lm-suppress-shortcuts": "true" });
    input.addEventListener("change", () => choose({ mode }));
    return { input, label: make("label", { class: "bl-toggle", for: `${id}-${mode}`, title: plain }, input, word) };
  });
  const explains = make("p", { class: "bl-note", "data-part": "explains" });
  const code = codeBlock();
  const stamp = make("p", { class: "bl-stamp", "data-part": "stamp" });
  const hint = make(
    "div",
    { class: "bl-empty", "data-part": "empty" },
    make("p", {}, "Type a sentence above. BLOOM reads it as you type, and you see what it makes of it, layer by layer."),
    make("p", { class: "bl-row" }, ...FIRST_TEXTS.map((example) => pushButton(example, { dir: "auto" }, () => box.write(example)))),
  );
  const panels = make(
    "div",
    { class: "bl-panels bl-panels-hidden" },
    make(
      "section",
      { class: "bl-panel bl-panel-grid", "aria-label": "every state of every token" },
      make("h3", { class: "bl-title" }, "what it would say at every step ", make("span", { class: "bl-how" }, "logit lens · residual stream")),
      make(
        "fieldset",
        { class: "bl-toggles" },
        make("legend", { class: "bl-hidden" }, "what the cells show"),
        ...toggles.map(({ label }) => label),
      ),
      grid.element,
      scale.element,
      explains,
    ),
    cell.element,
    parts.element,
    turns.element,
    map.element,
  );
  const body = make("div", { class: "bl-body" }, strip.element, live, panels);
  const foot = make("div", { class: "bl-foot" }, code.element, stamp);
  const root = make("div", { class: "bloomlab", "data-view": "hidden" }, make("div", { class: "bl-view" }, box.element, hint, body, foot));
  el.append(root);

  // ---- choosing and pointing ----

  const send = lastOf(PAUSE, () => model.save_changes());
  undo.push(send.cancel, box.close);

  /** @param {Partial<{row: number, token: number, mode: string}>} places */
  function choose(places) {
    for (const [name, value] of Object.entries(places)) model.set(name, value);
    send();
  }

  /** @param {import("./lib/states.js").Place | null} place */
  function pointAt(place) {
    if (place?.row === pointed?.row && place?.token === pointed?.token) return;
    pointed = place;
    pointedToken = place && place.token;
    drawSoon();
  }

  /** @param {number | null} token */
  function pointAtToken(token) {
    if (token === pointedToken) return;
    pointedToken = token;
    drawSoon();
  }

  let frame = 0;
  /** The pointer moves more often than the screen is drawn. */
  function drawSoon() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  }
  undo.push(() => cancelAnimationFrame(frame));

  // ---- drawing: the picture when a text was read, the grid when another value is chosen, marks all the time ----

  let source = /** @type {unknown} */ (undefined); // the trait that was read, to tell when another has come
  function readPicture() {
    const found = (source = model.get("picture"));
    picture = found && found.tokens ? found : null;
    if (!picture) return;
    names = tokenNames(/** @type {any} */ (picture));
    pointed = pointedToken = null;
    points = floats(model.get("points"));
    if (!waiting()) box.show(picture.text);
    strip.show(/** @type {any} */ (picture), id);
    map.show(names, picture.states.length);
    stamp.textContent = picture.stamp;
    readNumbers();
    drawn += 1;
    set(root, { "data-tokens": names.length, "data-drawn": drawn });
  }

  function readNumbers() {
    if (!picture) return;
    numbers = stateNumbers((name) => model.get(name), picture);
    grid.show(picture.states, names, numbers, id);
    painted = turned = "";
  }

  let painted = "";
  let turned = "";
  function repaint() {
    painted = turned = "";
    draw();
  }

  const diverging = () =>
    signedColours(.../** @type {[number[], number[], number[]]} */ (["--bl-negative", "--bl-zero", "--bl-positive"].map((name) => themeColour(root, name))));

  function paintGrid() {
    const { mode } = chosen();
    if (!picture || !numbers || painted === mode) return;
    painted = mode;
    const known = numbers;
    const most = Math.log(picture.vocab);
    const sums = mode === "added" && known.summed;
    const colours = sums ? diverging() : PROBABILITY_COLOURS;
    const colour = (/** @type {number} */ step) => Array.from(colours.subarray(3 * step, 3 * step + 3));
    const part = (/** @type {number} */ value) => Math.round(255 * Math.min(1, Math.max(0, value)));
    const ticks = (/** @type {(string | number)[]} */ ...texts) =>
      /** @type {[number, string][]} */ (texts.map((text, i) => [i / (texts.length - 1), String(text)]));
    /** @type {Record<string, (place: import("./lib/states.js").Place) => {text: string, mark?: string, step: number}>} */
    const looks = {
      prediction(place) {
        const [{ id: word, shown, script, p }] = known.said(place);
        const follows = word === picture?.tokens[place.token + 1]?.id;
        return { text: shown, mark: `${scriptMark(script)}${follows ? " ✓" : ""}`, step: probabilityStep(p) };
      },
      entropy: (place) => ({ text: fixed(known.entropy(place), 2), step: part(known.entropy(place) / most) }),
      rank(place) {
        const rank = known.rank(place);
        return { text: rank ? String(rank) : "–", step: rank ? part(1 - Math.log(rank) / most) : 0 };
      },
      norm: (place) => ({ text: fixed(known.length(place), 1), step: part(known.length(place) / known.longest) }),
      added: (place) => (known.summed ? { text: signed(known.share(place), 2), step: signedStep(known.share(place), known.largestShare) } : { text: "–", step: 0 }),
    };
    grid.paint((place) => {
      const { text, mark = "", step } = looks[mode](place);
      return { text, mark, colour: colour(step), says: sentence(place) };
    });
    const unit = known.largestShare;
    /** @type {Record<string, [string, [number, string][]]>} */
    const scales = {
      prediction: ["probability", TICKS],
      entropy: ["entropy, nats", ticks("0 sure", fixed(most / 2, 1), `${fixed(most, 1)} no idea`)],
      rank: ["rank, log scale", ticks(picture.vocab, Math.round(Math.sqrt(picture.vocab)), "1 likeliest")],
      norm: ["length", ticks(0, fixed(known.longest / 2, 0), fixed(known.longest, 0))],
      added: sums ? ["share added", ticks(fixed(-unit, 2), 0, `+${fixed(unit, 2)}`)] : ["no shares", []],
    };
    scale.show(colours, ...scales[mode]);
    set(grid.element, { "data-colours": sums ? "signed" : "probability", "data-limit": sums ? unit : 1 });
    const tied = picture.tied ? "The first row mostly names the very token just read: BLOOM scores the next token with the table it looked the last one up in. " : "";
    const taught = "Only the last row is what the model says; nothing taught it to make sense in the rows before. ";
    /** @type {Record<string, string>} */
    const notes = {
      prediction: `${tied}${taught}✓ marks the token that does follow; two letters name the script (La: Latin, Ar: Arabic, …).`,
      entropy: `${tied}${taught}`,
      rank: `${taught}Nothing follows the last token, so it has no rank.`,
      norm: "The vector's length after each addition. The first token's is often the largest.",
      added: picture.refusal || "What each step added, as a share of the last state: its projection on that state over the state's length. Negative: it points the other way.",
    };
    explains.textContent = notes[mode];
  }

  /** What a cell says, for a reader and for a screen reader. @param {import("./lib/states.js").Place} place */
  function sentence(place) {
    if (!picture || !numbers) return "";
    const where = `${stateName(picture.states[place.row])}, token ${place.token} ${isolated(names[place.token])}`;
    if (!numbers.has(place.token)) return `${where}: its numbers are not here`;
    const [{ shown, p }] = numbers.said(place);
    const rank = numbers.rank(place);
    const next = rank ? `; ${isolated(names[place.token + 1])}, which does follow, has rank ${rank}` : "";
    return `${where}: it would say ${isolated(shown)} with probability ${probability(p)}${next}`;
  }

  function draw() {
    if (model.get("picture") !== source) return; // a selection may arrive just before the picture it belongs to
    drawState();
    if (!picture || !numbers) return;
    const known = numbers;
    const { row, token, mode } = chosen();
    paintGrid();
    const shown = pointed ?? { row, token };
    strip.mark({ query: token, key: token }, pointedToken, () => 0);
    grid.mark({ row, token }, pointed);
    cell.show(known, picture, names, shown);
    parts.show(known, picture, names, shown);
    const turn = `${drawn} ${known.first} ${token}`;
    if (turned !== turn && known.has(token)) {
      turned = turn;
      turns.show(picture.states, token, names[token], diverging(), (one, other) => known.cosine(token, one, other));
    }
    turns.mark(row);
    const size = 2 * names.length;
    map.mark(picture.states[row], row, points.subarray(row * size, (row + 1) * size), picture.explained[row], token);
    const said = sentence(shown);
    if (live.textContent !== said) live.textContent = said;
    code.show(picture.code.map((part, i) => (i % 2 ? String({ row, token }[/** @type {"row"} */ (part)]) : part)).join(""));
    for (const { input } of toggles) input.checked = input.value === mode;
    set(root, { "data-row": row, "data-token": token, "data-mode": mode });
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
  // one message, many traits: they are all there when the first is told, and one drawing is enough
  let due = 0;
  listen("change:window change:words change:ids change:cosines change:points", () => {
    cancelAnimationFrame(due);
    due = requestAnimationFrame(
      safely(() => {
        if (model.get("picture") !== source) return;
        readNumbers();
        draw();
      }),
    );
  });
  undo.push(() => cancelAnimationFrame(due));
  listen("change:row change:token change:mode", draw);
  listen("change:state change:message change:answered", draw);
  const applyScale = () => root.style.setProperty("--bl-scale", String(model.get("scale") ?? 1));
  listen("change:scale", () => {
    applyScale();
    draw();
  });

  const resized = new ResizeObserver(repaint); // the theme's colours are known only once the view stands in the page
  resized.observe(root);
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
