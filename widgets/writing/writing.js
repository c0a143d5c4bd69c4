// @ts-check
// Writing: a text written on step by step. Which: the tree of all that was written. Where: what can come next, before
// and after the settings. Why: the cache. Play asks for one step after the other, and for the next only when the last
// has come, so that the page never falls behind.
//
// What tests and other views can rely on (what surrounds the panel is in lib/frame.js):
//   .bloomlab[data-at]                     the node where it stands
//   [data-part="branches"] [data-end]      a branch; a click goes to its end; arrow keys
//   [data-part="written"] [data-node]      a token of the text; a click goes there; arrow keys
//   [data-part="back" | "step" | "play" | "keep-text" | "search"]   data-playing of the root while it plays
//   [data-part="bars"] [data-row]          a token: data-before, data-after, data-next; in it button[data-token]
//   [data-setting="temperature | top_k | top_p | penalty | seed | sample"]
//   [data-part="pin"]                      compares with this branch; [data-part="beside"][data-parting], [data-part="parting"]
//   [data-part="labels" | "said"]          what the task heads say, if asked
//   [data-part="cells"]                    the cache: data-columns, data-left
//   [data-fact="bytes | bytes_far | with | without"]; [data-part="cache-says"]
import { direction, lastOf, make, pushButton, set } from "../lib/dom.js";
import { viewFrame } from "../lib/frame.js";
import { nextBars, openness } from "./bars.js";
import { asFar, besideText } from "./beside.js";
import { cacheLedger } from "./cache.js";
import { headsSay } from "./said.js";
import { branchList, cameAbout, pathTo, writtenText } from "./tree.js";

const NUMBERS = /** @type {[string, string, Record<string, string | number>, string][]} */ ([
  ["temperature", "temperature", { min: 0, max: 100, step: 0.1 }, "below 1 the likely become likelier; 0 is greedy"],
  ["top_k", "top-k", { min: 0, step: 1 }, "draw among so many; 0: among all"],
  ["top_p", "top-p", { min: 0.01, max: 1, step: 0.01 }, "draw among the likeliest that together reach this"],
  ["penalty", "repeat", { min: 0.1, max: 100, step: 0.1 }, "repetition penalty: above 1, tokens that stand there already become less likely"],
  ["seed", "seed", { min: 0, step: 1 }, "the same seed draws the same numbers"],
]);
const BEAMS = [1, 2, 4, 8];
const SPEEDS = [2, 5, 10, 30]; // tokens a second
const PAUSE = 40; // milliseconds without another value before it is sent

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @returns {import("../lib/frame.js").Panel}
 */
export function writingPanel(stage) {
  let picture = /** @type {any} */ (null);
  let pointed = /** @type {number | null} */ (null);
  let playing = false;
  let timer = 0;
  let waiting = -1; // how many nodes there were, and which was chosen, when the last step was asked for
  let asked = 0; // when that was

  const ask = (/** @type {Record<string, any>} */ wish) => stage.choose({ asked: { ...wish, number: (stage.get("asked")?.number ?? 0) + 1 } });
  const go = (/** @type {number} */ node) => {
    stop();
    stage.choose({ at: node });
  };

  // ---- the pieces ----

  const branches = branchList({ id: stage.id, go });
  const written = writtenText({ id: stage.id, go, direction });
  const bars = nextBars({
    take(token) {
      stop();
      ask({ do: "branch", token });
    },
  });
  const cache = cacheLedger({ id: stage.id, keep: (keep) => stage.choose({ keep }), widen: (window) => stage.choose({ window }) });

  const beside = besideText({ direction });
  const said = headsSay({ ask: (labels) => stage.choose({ labels }) });
  const pin = pushButton("", { class: "bl-button bl-plain", "data-part": "pin" }, () => stage.choose({ beside: stage.get("beside") < 0 ? stage.get("at") : -1 }));
  const back = pushButton("‹ back", { "data-part": "back" }, () => {
    stop();
    stage.choose({ at: Math.max(0, stage.get("tree").parents[stage.get("at")]) });
  });
  const step = pushButton("step ›", { "data-part": "step" }, () => {
    stop();
    ask({ do: "step" });
  });
  const play = pushButton("play", { "data-part": "play" }, () => {
    if (playing) {
      stop();
      stage.drawNow();
    } else start();
  });
  const search = pushButton("search", { "data-part": "search", title: "let the beams search on from here" }, () => ask({ do: "search" }));
  const beams = make("select", { class: "bl-select", "aria-label": "beams", title: "beams keep so many texts alive and choose the likeliest whole one", "data-lm-suppress-shortcuts": "true", "data-setting": "beams" }, ...BEAMS.map((many) => make("option", { value: many }, many === 1 ? "no beams" : `${many} beams`)));
  beams.addEventListener("change", () => stage.choose({ beams: Number(beams.value) }));
  const speed = make("select", { class: "bl-select", "aria-label": "speed, tokens a second", "data-lm-suppress-shortcuts": "true", "data-part": "speed" }, ...SPEEDS.map((many) => make("option", { value: many, ...(many === 10 ? { selected: true } : {}) }, `${many} a second`)));
  const keepText = pushButton("read this text in all tabs", { class: "bl-button bl-plain", "data-part": "keep-text" }, () => {
    const here = stage.get("bars")[String(stage.get("at"))];
    if (here) stage.read(here.text);
  });
  const open = make("p", { class: "bl-note", "data-part": "open" });
  const message = make("p", { class: "bl-note bl-trouble", role: "status", "data-part": "message" });

  const sample = make("input", { type: "checkbox", "data-setting": "sample", "data-lm-suppress-shortcuts": "true" });
  sample.addEventListener("change", () => stage.choose({ sample: sample.checked }));
  const send = lastOf(PAUSE, /** @type {(values: Record<string, any>) => void} */ ((values) => stage.choose(values)));
  stage.undo.push(send.cancel, stop);
  const inputs = NUMBERS.map(([name, word, range, plain]) => {
    const input = make("input", { class: "bl-factor", type: "number", ...range, "data-setting": name, "data-lm-suppress-shortcuts": "true" });
    input.addEventListener("input", () => {
      const value = Number(input.value);
      const fits = input.value !== "" && value >= Number(range.min) && value <= Number(range.max ?? Infinity);
      if (fits) send({ [name]: range.step === 1 ? Math.round(value) : value });
    });
    return { name, input, label: make("label", { class: "bl-setting", title: plain }, make("span", { class: "bl-how" }, word), input) };
  });

  stage.which.append(make("section", { class: "bl-panel", "aria-label": "tree" }, make("h3", { class: "bl-title" }, "what might have been ", make("span", { class: "bl-how" }, "the tree")), branches.element, make("p", { class: "bl-row" }, pin, keepText)));
  stage.where.append(
    make(
      "section",
      { class: "bl-panel", "aria-label": "writing" },
      written.element,
      beside.element,
      make("p", { class: "bl-row" }, back, step, play, speed, search, beams),
      message,
      make("div", { class: "bl-settings" }, make("label", { class: "bl-setting", title: "else greedy: always the likeliest" }, make("span", { class: "bl-how" }, "draw"), sample), ...inputs.map(({ label }) => label)),
      bars.element,
      open,
    ),
  );
  stage.why.append(cache.element);
  stage.more.append(said.element);

  // ---- play ----

  function start() {
    playing = true;
    askForStep();
    stage.drawNow();
  }

  function stop() {
    playing = false;
    clearTimeout(timer);
  }

  const state = () => stage.get("tree").parents.length * 1e6 + stage.get("at");

  function askForStep() {
    waiting = state();
    asked = performance.now();
    ask({ do: "step" });
  }

  /** The last step has come: the next, when it is time. */
  function playOn() {
    if (!playing) return;
    if (stage.get("tree").message || !stage.get("live")) {
      stop();
      return;
    }
    if (state() === waiting) return;
    const here = stage.get("bars")[String(stage.get("at"))];
    if (!here) return;
    if (here.ended || stage.body.hidden) {
      stop();
      return;
    }
    clearTimeout(timer);
    waiting = state();
    timer = window.setTimeout(() => {
      if (playing) askForStep();
    }, Math.max(0, 1000 / Number(speed.value) - (performance.now() - asked)));
  }

  stage.listen("change:tree change:bars change:cache change:at change:keep change:window change:sample change:temperature change:top_k change:top_p change:penalty change:seed change:beams change:beside change:other change:said change:labels", stage.drawOnce);

  return {
    show(another) {
      picture = another;
      pointed = null;
      stop();
    },

    draw() {
      const query = stage.get("query");
      stage.mark({ query, key: -1 }, pointed, null);
      const [tree, at, live] = [stage.get("tree"), stage.get("at"), Boolean(stage.get("live"))];
      const here = stage.get("bars")?.[String(at)];
      if (!tree.parents || at >= tree.parents.length || !here) return; // they are on their way
      if (tree.message) stop();
      playOn();
      const other = stage.get("other");
      const pinned = other.tree || stage.get("beside") >= tree.parents.length ? -1 : stage.get("beside");
      const way = pathTo(tree, at);
      const beheld = other.tree ? asFar(other, way.length) : pinned >= 0 ? { tree, way: pathTo(tree, pinned) } : null;
      const parts = beside.show({ tree, way }, beheld, other.tree ? "as it is" : "the pinned branch");
      branches.show(tree, at, pinned);
      written.show(tree, at, parts);
      bars.show(here, live, other.probs?.[String(at)] ?? null);
      said.show(stage.get("said"), stage.get("labels"), live, picture.heads);
      pin.hidden = Boolean(other.tree);
      pin.textContent = pinned < 0 ? "compare with this branch" : "compare no longer";
      cache.show(stage.get("cache"), tree, at, { keep: stage.get("keep"), window: stage.get("window"), live });
      back.disabled = at === 0;
      step.disabled = play.disabled = !live || here.ended || tree.searches;
      play.textContent = playing ? "stop" : "play";
      search.hidden = !tree.searches;
      if (![...beams.options].some((option) => option.value === String(stage.get("beams")))) beams.append(make("option", { value: stage.get("beams") }, `${stage.get("beams")} beams`));
      beams.value = String(stage.get("beams"));
      beams.disabled = !live;
      search.disabled = keepText.disabled = !live;
      play.hidden = step.hidden = speed.hidden = tree.searches;
      message.textContent = tree.message;
      message.hidden = !tree.message;
      open.textContent = openness(here);
      sample.checked = stage.get("sample");
      sample.disabled = !live;
      for (const { name, input } of inputs) {
        input.disabled = !live || (name !== "penalty" && !stage.get("sample"));
        if (document.activeElement !== input) input.value = String(stage.get(name));
      }
      const loop = here.loop ? `; this loop has period ${here.loop}` : "";
      stage.say(...cameAbout(tree, at, here.came), loop);
      stage.showCode({ code: [...picture.code, "more"] }, { more: here.code + (other.code ?? "") });
      set(stage.root, { "data-at": at, "data-playing": playing });
    },

    fit() {},

    point(token) {
      pointed = token;
      stage.drawSoon();
    },
  };
}

export default {
  render: (/** @type {{model: any, el: HTMLElement}} */ view) => viewFrame({ ...view, name: "writing", makePanel: writingPanel }),
};
