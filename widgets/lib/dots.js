// @ts-check
// A strip of dots: a row for each kind of run, all on one axis, with the line of the claim through them. Each row is one
// stop for the keyboard; arrow keys step through its dots, and the one that is pointed at is written at its end.
//
// What tests can rely on:
//   [data-part="dots"]                        data-low, data-high: the ends of the axis
//   [data-row="NAME"]                         role="listbox"; data-count
//   [data-row="NAME"] [role="option"]         a dot: data-value, aria-label; data-own: what the others are there for
//   [data-row="NAME"] [data-part="dot-says"]  the one that is pointed at, or what all are
import { isolated, make, set } from "./dom.js";
import { roundStep } from "./plot.js";

/**
 * @typedef {{name: string, says: string, dots: {name: string, value: number, own?: boolean}[], none?: string}} DotRow
 *   `own`: it is the one that the others are there for; `says`: what stands at the end of the row while nothing is pointed at; `none`: why it has no dots
 */

const AXIS_PARTS = 4; // of the axis

/** @param {{id: string}} options */
export function dotStrip({ id }) {
  const rows = make("div", { class: "bl-dot-rows" });
  const ticks = make("div", { class: "bl-dot-ticks" });
  const key = make("span", { class: "bl-dot-says" });
  const foot = make("div", { class: "bl-dot-rows", "aria-hidden": "true" }, make("span", { class: "bl-dot-name" }), ticks, key);
  const element = make("div", { class: "bl-dots", dir: "ltr", "data-part": "dots" }, rows, foot);
  let shownKey = "";

  /**
   * @param {DotRow[]} shown @param {{before: number, after: number | null, lines?: string[]}} claim
   *   where the two lines stand, and what they are
   * @param {(value: number) => string} write a number with its unit
   */
  function show(shown, { before, after, lines: words = ["as it is", "the change"] }, write) {
    const now = JSON.stringify([shown, before, after]);
    if (now === shownKey) return;
    shownKey = now;
    key.textContent = `┊ ${words[0]}${after === null ? "" : `  ┃ ${words[1]}`}`;
    const values = [...shown.flatMap(({ dots }) => dots.map(({ value }) => value)), before, ...(after === null ? [] : [after])];
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const step = roundStep(Math.max(most - least, 1e-6), AXIS_PARTS);
    const [low, high] = [step * Math.floor(least / step + 1e-9), step * Math.ceil(most / step - 1e-9)];
    const at = (/** @type {number} */ value) => String((value - low) / (high - low || 1));
    const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9)));
    set(element, { "data-low": low, "data-high": high });
    const count = Math.min(20, Math.round((high - low) / step)) + 1;
    ticks.replaceChildren(...Array.from({ length: count }, (_, i) => placed(make("span", { class: "bl-tick" }, (low + i * step).toFixed(digits).replace("-", "−")), at(low + i * step))));
    rows.replaceChildren(
      ...shown.flatMap((row, number) => {
        const lines = [placed(make("span", { class: "bl-dot-line", "data-line": "before" }), at(before)), ...(after === null ? [] : [placed(make("span", { class: "bl-dot-line", "data-line": "after" }), at(after))])];
        return rowOf(row, `${id}-${number}`, lines, at, write);
      }),
    );
  }

  /** @param {HTMLElement} element @param {string} at */
  function placed(element, at) {
    element.style.setProperty("--bl-at", at);
    return element;
  }

  /**
   * @param {DotRow} row @param {string} rowId @param {HTMLElement[]} lines @param {(value: number) => string} at
   * @param {(value: number) => string} write
   */
  function rowOf({ name, says, dots, none = "" }, rowId, lines, at, write) {
    const order = dots.map((_, i) => i).sort((a, b) => dots[a].value - dots[b].value);
    const label = (/** @type {number} */ i) => `${isolated(dots[i].name)}: ${write(dots[i].value)}`;
    const options = dots.map(({ value, own = false }, i) => placed(make("span", { class: "bl-dot", "data-own": own, role: "option", id: `${rowId}-${i}`, "aria-selected": "false", "aria-label": label(i), "data-value": value }), at(value)));
    const ends = make("span", { class: "bl-dot-says", "data-part": "dot-says", "aria-live": "off" }, none || says);
    let chosen = -1; // a place in `order`
    const take = (/** @type {number} */ place) => {
      chosen = place;
      options.forEach((option, i) => set(option, { "aria-selected": String(place >= 0 && order[place] === i) }));
      set(track, { "aria-activedescendant": place >= 0 && options[order[place]].id });
      ends.textContent = place >= 0 ? label(order[place]) : none || says;
    };
    const track = make(
      "div",
      { class: "bl-dot-track", ...(dots.length ? { role: "listbox", tabindex: 0, "aria-label": `${name}: ${says}`, "data-lm-suppress-shortcuts": "true" } : {}), "data-row": name, "data-count": dots.length },
      ...lines,
      ...options,
    );
    track.addEventListener("focus", () => take(chosen < 0 ? order.length - 1 : chosen));
    track.addEventListener("blur", () => take(-1));
    track.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      const box = track.getBoundingClientRect();
      const near = order.map((i, place) => [Math.abs(Number(at(dots[i].value)) - (event.clientX - box.left) / box.width), place]);
      if (near.length) take(near.reduce((a, b) => (b[0] < a[0] ? b : a))[1]);
    });
    track.addEventListener("pointerleave", () => take(-1));
    track.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const to = { ArrowLeft: chosen - 1, ArrowRight: chosen + 1, Home: 0, End: order.length - 1 }[event.key];
      if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation();
      take(Math.max(0, Math.min(order.length - 1, to)));
    });
    return [make("span", { class: "bl-dot-name" }, name), track, ends];
  }

  return { element, show };
}
