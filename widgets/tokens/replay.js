// @ts-check
// How a piece of text was built: its bytes on top, and below them a row for every merge, until none is left.
import { make, pushButton, set } from "../lib/dom.js";

const PLAYING_PAUSE = 900; // milliseconds a step

/**
 * @typedef {{bytes: string, start: string[], steps: [number, string, (number | null)[]][], long: boolean}} Replay
 *   a step: which pair is joined, what it then shows as, the rank of every pair of neighbours
 * @typedef {{from: number, length: number, hex: string, shown: string}} Part
 * @typedef {{parts: Part[], newest: number, next: number, ranks: (number | null)[]}} Stage
 *   `newest` is the part that was just joined, `next` the pair that will be, -1 where there is none
 */

/**
 * What there is before the first merge and after each.
 * @param {Replay} replay
 * @returns {Stage[]}
 */
export function stagesOf({ bytes, start, steps, long }) {
  let parts = bytes ? bytes.split(" ").map((hex, from) => ({ from, length: 1, hex, shown: start[from] })) : [];
  let newest = -1;
  const stages = /** @type {Stage[]} */ ([]);
  for (const [at, shown, ranks] of steps) {
    stages.push({ parts, newest, next: at, ranks });
    const [left, right] = parts.slice(at, at + 2);
    const joined = { from: left.from, length: left.length + right.length, hex: `${left.hex} ${right.hex}`, shown };
    parts = [...parts.slice(0, at), joined, ...parts.slice(at + 2)];
    newest = at;
  }
  stages.push({ parts, newest, next: -1, ranks: long ? [] : parts.slice(1).map(() => null) });
  return stages;
}

/**
 * What a part is called in a sentence: what it shows as, or its bytes.
 * @param {Part} part
 */
export function partName({ shown, hex }) {
  return shown ? `“${shown}”` : hex;
}

/**
 * @param {{choose: (step: number) => void, leave: () => void}} listeners `leave` goes back to the tokens
 */
export function mergeReplay({ choose, leave }) {
  const rows = make("div", { class: "bl-stages" });
  const element = make(
    "div",
    {
      class: "bl-replay",
      role: "slider",
      tabindex: 0,
      dir: "ltr",
      "aria-label": "merges done; arrow keys do and undo one",
      "aria-valuemin": 0,
      "data-lm-suppress-shortcuts": "true",
      "data-part": "replay",
    },
    rows,
  );
  const back = pushButton("undo one", { "data-part": "back" }, () => go(step - 1));
  const on = pushButton("join the next", { "data-part": "next" }, () => go(step + 1));
  const play = pushButton("play from the bytes", { "data-part": "play" }, () => (timer ? pause() : start()));
  const buttons = make("p", { class: "bl-row" }, play, back, on);
  let stages = /** @type {Stage[]} */ ([]);
  let drawn = /** @type {any[]} */ ([]); // a row for each stage
  let step = 0;
  let timer = 0;

  const last = () => stages.length - 1;

  /** @param {number} to */
  function go(to) {
    pause();
    move(to);
  }

  /** @param {number} to */
  function move(to) {
    const next = Math.min(last(), Math.max(0, to));
    if (next !== step) choose(next);
  }

  function start() {
    choose(0);
    timer = window.setInterval(() => {
      if (step >= last()) pause();
      else move(step + 1);
    }, PLAYING_PAUSE);
    play.textContent = "pause";
  }

  function pause() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "play from the bytes";
  }

  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const to = { ArrowRight: step + 1, ArrowDown: step + 1, ArrowLeft: step - 1, ArrowUp: step - 1, Home: 0, End: last() }[event.key];
    if (to !== undefined) go(to);
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  /** @param {Stage} stage @param {number} number */
  function row({ parts, newest, next, ranks }, number) {
    const boxes = parts.map((part, place) => {
      const box = make(
        "span",
        { class: "bl-piece", "data-made": place === newest, title: `${part.hex.split(" ").length === 1 ? "byte" : "bytes"} ${part.hex}` },
        make("bdi", { class: "bl-token" }, part.shown || " "),
        make("span", { class: "bl-hex" }, part.hex),
      );
      box.style.setProperty("--bl-from", String(part.from + 1));
      box.style.setProperty("--bl-span", String(part.length));
      return box;
    });
    const between = ranks.map((rank, pair) => {
      const label = make(
        "span",
        { class: "bl-rank", "data-next": pair === next, title: rank === null ? "this pair was never learned" : `this pair has rank ${rank}` },
        rank === null ? "–" : String(rank),
      );
      label.style.setProperty("--bl-from", String(parts[pair + 1].from));
      return label;
    });
    const name = number === 0 ? (parts.length === 1 ? "byte" : "bytes") : `merge ${number}`;
    return make("div", { class: "bl-stage", "data-stage": number }, make("span", { class: "bl-stage-name" }, name), ...boxes, ...between);
  }

  return {
    element,
    buttons,
    pause,

    /** Which stages there are, the first has only bytes. */
    stages: () => stages,

    /** @param {Replay} replay */
    show(replay) {
      pause();
      stages = stagesOf(replay);
      drawn = stages.map(row);
      rows.replaceChildren(...drawn);
      element.scrollTop = 0;
      step = -1;
      rows.style.setProperty("--bl-bytes", String(Math.max(1, stages[0].parts.length)));
      set(element, { "aria-valuemax": last(), "data-stages": stages.length });
    },

    /** @param {number} to how many merges are done @param {string} says the same in words */
    mark(to, says) {
      const moved = step !== -1 && step !== to;
      step = to;
      drawn.forEach((stage, number) => set(stage, { "data-future": number > to, "data-now": number === to }));
      set(element, { "aria-valuenow": to, "aria-valuetext": says, "data-step": to });
      back.disabled = to === 0;
      on.disabled = to === last();
      play.disabled = last() === 0;
      if (!moved || element.scrollHeight <= element.clientHeight) return;
      const [box, stage] = [element.getBoundingClientRect(), drawn[to].getBoundingClientRect()];
      if (stage.top < box.top) element.scrollTop -= box.top - stage.top;
      if (stage.bottom > box.bottom) element.scrollTop += stage.bottom - box.bottom;
    },
  };
}
