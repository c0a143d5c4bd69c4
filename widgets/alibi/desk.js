// @ts-check
// The slope desk: every head's slope as a lollipop on a log axis, to be dragged, stepped with keys, typed and reset.
//
// What tests can rely on:
//   [data-part="slopes"] [data-head]   a head's slope: data-slope, data-moved; its grip is dragged; Shift+↑ ↓, Delete
//   [data-part="slopes"] [data-ghost]  where the slope stands that it is measured by: the trained one
//   [data-part="desk"] [data-desk="double | halve | flat | trained"]   buttons for all heads
//   [data-part="slope-typed" | "slope-reset" | "slope-says"]   of the chosen head
import { REACH_NATS, reachName } from "./reach.js";
import { allEdits, axisSlopes, headEdits, LARGEST, readSlope, slopeAt, slopeHeight, stepped, trainedEdits } from "./slopes.js";
import { make, pushButton, set } from "../lib/dom.js";
import { everyHead, fixed, slopeName } from "../lib/numbers.js";
import { plot } from "../lib/plot.js";

const SLOW = 2000; // milliseconds after which an answer is waited for no longer
const THRESHOLD = 3; // pixels: what moves less is a click

/** Whether a factor is none, up to rounding. @param {number} factor */
const isOne = (factor) => Math.abs(factor - 1) < 1e-5;

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @param {{step: (layers: number, heads: number) => void}} options choosing another head or layer
 */
export function slopeDesk(stage, { step }) {
  let of = { trained: /** @type {number[]} */ ([]), used: /** @type {number[]} */ ([]), ghosts: /** @type {number[]} */ ([]), desk: { all: 1, heads: /** @type {number[]} */ ([]) }, tokens: 0 };
  let moved = /** @type {{head: number, slope: number} | null} */ (null); // ahead of Python
  let drag = /** @type {{head: number, from: number, start: number, room: number, began: boolean} | null} */ (null);

  /** Why no slope can be moved now, in words; "" if it can. */
  const refusal = () => {
    if (!stage.get("live") || !stage.get("editable")) return "not here";
    if (of.tokens < 2) return "one token alone has no distances: write more to move a slope";
    if (stage.get("runs")?.length && stage.get("run") === "as it is") return "this is the run as it is: choose “what if” to move a slope";
    return "";
  };
  const slopes = () => (moved && stage.get("live") ? of.used.map((slope, head) => (head === moved?.head ? moved.slope : slope)) : of.used);

  // ---- asking Python: one message at a time is on its way, and of those that wait, the last ----

  let gesture = Math.floor(1e9 * Math.random());
  let waiting = /** @type {import("./slopes.js").PageEdit[] | null} */ (null);
  let timer = 0;
  let sent = 0; // the number of the wish that is on its way
  stage.undo.push(() => clearTimeout(timer));

  /** @param {import("./slopes.js").PageEdit[]} edits */
  function send(edits) {
    if (timer) {
      waiting = edits;
      return;
    }
    timer = window.setTimeout(answered, SLOW);
    stage.set(edits, gesture);
    sent = stage.get("wished").number;
  }

  function answered() {
    clearTimeout(timer);
    timer = 0;
    const next = waiting;
    waiting = null;
    if (next) send(next);
    else if (!drag && moved) {
      moved = null; // Python has the last word
      stage.drawSoon();
    }
  }

  stage.listen("change:heard", () => {
    if (timer && stage.get("heard") === sent) window.setTimeout(answered); // granted, or refused
  });

  /** @param {number} head @param {number} slope */
  function move(head, slope) {
    if (slope === slopes()[head]) return;
    moved = { head, slope };
    stage.drawSoon();
    send(headEdits(of.desk, of.trained, of.used, head, slope));
  }

  /** One step that is undone by itself. @param {() => void} act */
  function once(act) {
    if (refusal()) return;
    gesture += 1;
    act();
  }
  /** @param {() => import("./slopes.js").PageEdit[]} edits of all heads */
  const all = (edits) =>
    once(() => {
      moved = null;
      if (edits().length) send(edits());
    });
  const reset = (/** @type {number} */ head) => once(() => move(head, of.trained[head]));

  // ---- the pieces ----

  const says = "slopes of the heads; left and right choose the head, up and down the layer; with Shift, up and down change the slope, Delete resets it";
  const axis = plot({
    part: "slopes",
    says,
    role: "listbox",
    key({ key, shiftKey, repeat }) {
      const head = stage.get("head");
      if (shiftKey && (key === "ArrowUp" || key === "ArrowDown")) {
        if (refusal()) return true;
        if (!repeat) gesture += 1; // a key that is held down is one movement
        move(head, stepped(slopes()[head], of.trained[head], key === "ArrowUp" ? 1 : -1));
        return true;
      }
      if (key === "Delete" || key === "Backspace") {
        reset(head);
        return true;
      }
      const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key];
      if (by && !shiftKey) step(by[0], by[1]);
      return by !== undefined && !shiftKey;
    },
  });
  const { area } = axis;
  area.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    const grip = /** @type {Element} */ (event.target).closest(".bl-slope-grip");
    if (!grip || event.button !== 0 || refusal()) return;
    const head = Number(grip.parentElement?.getAttribute("data-head"));
    drag = { head, from: event.clientY, start: slopeHeight(slopes()[head]), room: area.clientHeight, began: false };
    area.setPointerCapture(event.pointerId); // the lollipop may leave from under the pointer
  });
  area.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    if (!drag || (!drag.began && Math.abs(event.clientY - drag.from) < THRESHOLD)) return;
    if (!drag.began) {
      drag.began = true;
      gesture += 1;
      stage.choose({ head: drag.head });
    }
    // by how far the pointer has come, not by where it is: with the first edit a line of chips pushes the plot down
    const factor = slopeAt(drag.start + (event.clientY - drag.from) / drag.room) / of.trained[drag.head];
    move(drag.head, of.trained[drag.head] * Number(factor.toPrecision(3)));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    area.addEventListener(end, () => {
      if (drag && !drag.began) stage.choose({ head: drag.head });
      drag = null;
      if (!timer) answered();
    });
  }

  const buttons = /** @type {Record<string, HTMLButtonElement>} */ (
    Object.fromEntries(
      /** @type {[string, string, string, () => void][]} */ ([
        ["double", "× 2", "all slopes × 2", () => all(() => allEdits(of.desk, 2))],
        ["halve", "× ½", "all slopes × ½: as if trained for twice the length", () => all(() => allEdits(of.desk, 0.5))],
        ["flat", "flat", "flat: all slopes 0, no head knows what is near", () => all(() => allEdits(of.desk, 0))],
        ["trained", "as trained", "as trained: the paper's slopes, all changes of slopes taken back", () => all(() => trainedEdits(of.desk))],
      ]).map(([name, word, plain, press]) => [name, pushButton(word, { "data-desk": name, title: plain, "aria-label": `${word}: ${plain}` }, press)]),
    )
  );
  const why = make("p", { class: "bl-how" });
  const all4 = make("div", { class: "bl-desk", role: "group", "aria-label": "all slopes", "data-part": "desk" }, make("p", { class: "bl-row" }, ...Object.values(buttons)), why);

  const typed = make("input", { type: "text", inputmode: "decimal", class: "bl-desk-number", size: 6, autocomplete: "off", spellcheck: "false", "data-lm-suppress-shortcuts": "true", "data-part": "slope-typed" });
  const back = pushButton("reset", { class: "bl-button bl-plain", "data-part": "slope-reset" }, () => reset(stage.get("head")));
  const trouble = make("span", { class: "bl-how", role: "alert", "data-part": "slope-says" });
  const one = make("tr", { class: "bl-desk-one" }, make("td", { colspan: 2 }, typed, " ", back, trouble));
  typed.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") write(true);
    if (event.key === "Enter") take();
    if (!event.ctrlKey && !event.metaKey) event.stopPropagation(); // the notebook has other uses for keys
  });
  typed.addEventListener("change", take);
  typed.addEventListener("blur", () => write(true));

  function take() {
    const head = stage.get("head");
    const slope = readSlope(typed.value, of.trained[head]);
    trouble.textContent = slope === null ? `write a slope from 0 to ${LARGEST}, such as 0.1, 1/16 or ×2` : "";
    set(typed, { "aria-invalid": slope === null && "true" });
    if (slope !== null && Math.abs(slope - slopes()[head]) > 1e-6 * slope) once(() => move(head, slope));
  }

  /** What the box says, if nobody is writing in it. @param {boolean} [anyway] */
  function write(anyway = false) {
    if (!anyway && typed.ownerDocument.activeElement === typed) return;
    typed.value = String(Number(slopes()[stage.get("head")].toPrecision(4)));
    if (anyway) {
      trouble.textContent = "";
      set(typed, { "aria-invalid": false });
    }
  }

  // ---- drawing ----

  /** @type {{dot: any, ghost: any, grip: any}[]} */
  let lollipops = [];

  /** @param {number} count of heads */
  function build(count) {
    for (const { dot, ghost } of lollipops) {
      dot.remove();
      ghost.remove();
    }
    lollipops = Array.from({ length: count }, (_, head) => {
      const grip = make("span", { class: "bl-slope-grip" });
      const dot = make("span", { class: "bl-slope", role: "option", id: `${stage.id}-slope-${head}`, "data-head": head }, grip);
      const ghost = make("span", { class: "bl-slope-ghost", "aria-hidden": "true", "data-ghost": head });
      for (const element of [dot, ghost]) {
        element.style.setProperty("--bl-x", String((head + 0.5) / count));
        element.style.setProperty("--bl-heads", String(count));
      }
      return { dot, ghost, grip };
    });
    area.append(...lollipops.flatMap(({ ghost, dot }) => [ghost, dot]));
    const every = everyHead(count);
    const ticks = axisSlopes();
    axis.axes({
      left: ticks.map(({ slope, power }) => ({ at: slopeHeight(slope), text: power === null ? "0" : power >= 0 ? String(slope) : slopeName(slope) })),
      right: ticks.map(({ slope }) => ({ at: slopeHeight(slope), text: slope ? String(REACH_NATS / slope) : "∞" })),
      below: Array.from({ length: Math.ceil(count / every) }, (_, i) => ({ at: (i * every + 0.5) / count, text: String(i * every) })),
    });
    axis.paint();
  }

  /** "× 0.5" of the slope that it is measured by; "" if it is that one. @param {number} head */
  function times(head) {
    const factor = slopes()[head] / of.ghosts[head];
    return isOne(factor) ? "" : `${slopeName(of.ghosts[head])} × ${Number(factor.toPrecision(3))}`;
  }

  return {
    axis,
    all: all4,
    one,
    slopes,
    times,
    refusal,

    /** Another picture. @param {{trained: number[], desk: import("./slopes.js").Desk, tokens: unknown[]}} picture */
    show({ trained, desk, tokens }) {
      of = { ...of, trained, desk, tokens: tokens.length };
      if (!drag && !waiting) moved = null;
    },

    /** The slopes that a layer has used, and those that they are measured by. @param {number[]} used @param {number[]} ghosts */
    measure(used, ghosts) {
      of = { ...of, used, ghosts };
      if (lollipops.length !== used.length) build(used.length);
    },

    /** @param {number} head the chosen one @param {number | null} pointed */
    draw(head, pointed) {
      const reason = refusal();
      slopes().forEach((slope, i) => {
        const { dot, ghost, grip } = lollipops[i];
        dot.style.setProperty("--bl-y", String(slopeHeight(slope)));
        ghost.style.setProperty("--bl-y", String(slopeHeight(of.ghosts[i])));
        const factor = times(i);
        const words = `head ${i}, slope ${slopeName(slope)}${factor ? `, ${factor}` : ""}, reach ${reachName(slope)}`;
        set(dot, { "aria-label": words, "aria-selected": String(i === head), "data-pointed": i === pointed, "data-slope": slope, "data-moved": factor !== "", title: words });
        set(grip, { "data-live": reason === "" });
        ghost.hidden = factor === "";
      });
      set(area, { "aria-activedescendant": lollipops[head].dot.id });
      all4.hidden = one.hidden = reason === "not here";
      if (all4.hidden) return;
      why.textContent = reason;
      const untouched = trainedEdits(of.desk).length === 0;
      for (const [name, button] of Object.entries(buttons)) button.disabled = reason !== "" || (name === "trained" ? untouched : of.desk.all === 0);
      typed.disabled = reason !== "";
      back.disabled = reason !== "" || isOne(slopes()[head] / of.trained[head]);
      set(typed, { "aria-label": `slope of head ${head}: a number, 1/16, or ×2; as trained ${fixed(of.trained[head], 4)}` });
      set(back, { "aria-label": `reset: slope of head ${head} as trained` });
      write();
    },
  };
}
