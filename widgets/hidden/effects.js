// @ts-check
// Where the answer is carried: a map of effects, estimated first and then measured, a share of the lead in each cell.
//   [data-part="effects"]                  data-state = idle | running | done | stopped | error; data-what
//   input[name][value="stream | mlps | heads | positions | looks"], [value="needed | enough"], [value="drawn | zero"]
//   [data-part="effects-other"]            a box: another text to copy from; empty: something else stands in a cell's place
//   [data-part="effects-run" | "effects-stop" | "effects-progress" | "effects-says" | "effects-trust"]
//   [data-part="effects-grid"] [data-cell][data-row][data-column]   data-value: a share; data-rough: only estimated
//   [data-part="effects-cell"]             the chosen cell in words; [data-silence]: the same as an edit
import { divergingColours, signedStep } from "../lib/colours.js";
import { isolated, make, pushButton, set } from "../lib/dom.js";
import { tokenGrid } from "../lib/grid.js";
import { legend } from "../lib/legend.js";
import { fixed, signed } from "../lib/numbers.js";
import { brightness, hexColour } from "../lib/states.js";
import { toggles } from "../lib/toggles.js";

const WHAT = [
  ["stream", "states", "the residual stream: a token after a layer"],
  ["mlps", "MLPs", "an MLP at a token"],
  ["heads", "heads", "a head at all tokens"],
  ["positions", "heads at tokens", "a head at one token"],
  ["looks", "looks of the chosen head", "one token's look at another, of the head that is chosen in the attention tab"],
];
const MODES = [
  ["needed", "needed", "what is lost with something else in this place"],
  ["enough", "enough", "what comes with this place alone, put into the other text"],
];
const INSTEAD = [
  ["drawn", "drawn from like texts", "what another text of this kind has there"],
  ["zero", "zeros", "which no text has there"],
];
const AT_ONCE = 64; // columns

/** @param {import("../lib/frame.js").Stage} stage */
export function effectMap(stage) {
  const what = toggles({ id: `${stage.id}-map-what`, says: "of what", choices: WHAT, choose: (map_what) => stage.choose({ map_what }) });
  const mode = toggles({ id: `${stage.id}-map-mode`, says: "which question", choices: MODES, choose: (map_mode) => stage.choose({ map_mode }) });
  const instead = toggles({ id: `${stage.id}-map-instead`, says: "what stands in a cell's place", choices: INSTEAD, choose: (map_instead) => stage.choose({ map_instead }) });
  const other = make("input", { class: "bl-effects-other", type: "text", dir: "auto", id: `${stage.id}-map-other`, spellcheck: "false", autocomplete: "off", placeholder: "another text of as many tokens", "data-lm-suppress-shortcuts": "true", "data-part": "effects-other" });
  const send = () => {
    const whole = other.value.isWellFormed?.() ?? true; // Python's side could not even write half a character down
    if (whole && other.value !== stage.get("map_other")) stage.choose({ map_other: other.value });
  };
  other.addEventListener("change", send);
  other.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    event.stopPropagation(); // the notebook's shortcuts are not meant
    if (event.key === "Enter" && !event.isComposing) send();
  });
  const run = pushButton("measure", { "data-part": "effects-run" }, () => stage.choose({ mapping: "open" }));
  const stop = pushButton("cancel", { "data-part": "effects-stop" }, () => stage.choose({ mapping: "stopped" }));
  const progress = make("progress", { class: "bl-progress", max: 1, value: 0, "aria-label": "cells measured", "data-part": "effects-progress" });
  const says = make("p", { class: "bl-effects-says", role: "status", "aria-live": "polite", dir: "auto", "data-part": "effects-says" });
  const trust = make("p", { class: "bl-note", dir: "auto", "data-part": "effects-trust" });
  const cell = make("p", { class: "bl-effects-says", "data-part": "effects-cell" });
  const grid = tokenGrid({ part: "effects-grid", says: "effects; the arrow keys choose a cell", kind: "bl-state", pick, point: () => {} });
  const scale = legend();
  const found = make("div", {}, grid.element, scale.element, cell, trust);
  const summary = make("summary", { "data-lm-suppress-shortcuts": "true" }, "where the answer is carried ", make("span", { class: "bl-how" }, "a map of effects"));
  const row = (/** @type {Node[]} */ ...inside) => make("div", { class: "bl-row bl-effects-asks" }, ...inside);
  const otherLabel = make("label", { for: other.id }, "copied from ", other);
  const element = make("details", { class: "bl-panel bl-effects", "data-part": "effects" }, summary, row(what.element), row(otherLabel, mode.element, instead.element), row(run, stop, progress), says, found);
  summary.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    event.preventDefault(); // it opens when the view has heard of it
    if (stage.get("live")) stage.choose({ mapping: element.open ? "closed" : "open" });
    else element.open = !element.open; // a saved page keeps what it has
  });

  // tokens stand across, as in the picture above; of heads over layers, the layers do
  const turned = (/** @type {any} */ map) => !["heads", "looks"].includes(map.what);
  const numberOf = (/** @type {any} */ map, /** @type {import("../lib/grid.js").Place} */ { row, token }) => (turned(map) ? token * map.columns.length + row : row * map.columns.length + token);
  const sides = (/** @type {any} */ map) => (turned(map) ? { down: map.columns, across: map.rows } : { down: map.rows, across: map.columns });

  let chosen = { row: 0, token: 0 };
  /** @param {import("../lib/grid.js").Place} place */
  function pick(place) {
    chosen = place;
    drawCell();
  }

  /** The edit that puts the same in this cell's place, or nothing. @param {any} map @param {import("../lib/grid.js").Place} place */
  function editOf(map, { row, token }) {
    const { down } = sides(map);
    const layer = down[row].replace("layer ", "");
    if (map.what === "stream") return { spot: layer === "embed" ? "embed" : `h.${layer}.resid_post`, axes: { pos: [token] } };
    if (map.what === "mlps") return { spot: `h.${layer}.mlp.out`, axes: { pos: [token] } };
    if (map.what === "heads") return { spot: `h.${token}.attn.mixed`, axes: { head: [row] } };
    if (map.what !== "positions") return null; // a look is cut in the attention tab
    const [of, head] = layer.split(".");
    return { spot: `h.${of}.attn.mixed`, axes: { head: [Number(head)], query: [token] } };
  }

  function drawCell() {
    const map = stage.get("effects");
    const { down, across } = sides(map);
    const value = map.values[numberOf(map, chosen)];
    const name = `${down[chosen.row]}, ${isolated(across[chosen.token])}`;
    const measured = map.measured[numberOf(map, chosen)];
    const tells = value === null || value === undefined ? "no cell" : `${measured ? "" : "about "}${signed(value, 3)} of the lead, ${signed(value * map.unit, 3)} nats${measured ? "" : ", estimated only"}${map.floor !== null && Math.abs(value) < map.floor ? "; that is below the noise" : ""}`;
    const edit = stage.get("live") && stage.get("editable") && map.kind && map.state !== "running" && value !== null ? editOf(map, chosen) : null;
    const button = edit && pushButton(map.kind === "drawn" ? "replace" : "silence", { class: "bl-button", "data-silence": name }, () => stage.wish({ do: "add", edit: { ...edit, kind: map.kind } }));
    cell.replaceChildren(`${name}: ${tells} `, ...(button ? [button] : []));
    grid.mark(chosen, null);
  }

  let painted = "";
  let last = "";
  /** @param {any} map */
  function paint(map) {
    const now = JSON.stringify([map.what, map.rows, map.columns, map.values, map.measured, stage.get("live"), map.state === "running"]);
    if (now === painted) return;
    painted = now;
    const { down, across } = sides(map);
    const shape = JSON.stringify([map.what, down, across]);
    if (shape !== last) {
      last = shape;
      chosen = turned(map) ? { row: map.largest[1], token: map.largest[0] } : { row: map.largest[0], token: map.largest[1] };
    }
    const from = Math.floor(chosen.token / AT_ONCE) * AT_ONCE;
    const names = across.map((/** @type {string} */ name) => (map.what === "heads" ? name : name.replace(/^\d+ /, "")));
    grid.show(down.map((/** @type {string} */ name) => ({ name: [name] })), names, { from, to: Math.min(names.length, from + AT_ONCE) }, { id: `${stage.id}-effect`, corner: map.what === "heads" ? "layer →" : "token →", inside: () => [make("span")], column: map.what === "heads" ? "layer" : "token" });
    const colours = divergingColours(stage.body);
    const limit = Math.max(0.01, ...map.values.map((/** @type {number | null} */ value) => Math.abs(value ?? 0)));
    grid.paint((place, box) => {
      const value = map.values[numberOf(map, place)];
      const rough = !map.measured[numberOf(map, place)];
      box.firstChild.textContent = value === null ? "" : `${rough ? "~" : ""}${Math.abs(value) < 0.005 ? "0" : signed(value, 2)}`;
      const quiet = value !== null && map.floor !== null && Math.abs(value) < map.floor;
      const step = signedStep(value ?? 0, limit);
      const colour = Array.from(colours.subarray(3 * step, 3 * step + 3));
      box.style.setProperty("background-color", value === null || quiet ? "transparent" : hexColour(colour));
      set(box, { "data-value": value ?? false, "data-rough": rough && value !== null, "data-quiet": quiet, "data-on": value !== null && !quiet && brightness(colour), "aria-label": `${down[place.row]}, ${isolated(across[place.token])}: ${value === null ? "no cell" : `${rough ? "about " : ""}${signed(value, 3)} of the lead, ${signed(value * map.unit, 2)} nats`}` });
      box.title = value === null ? "" : `${signed(value, 4)} of the lead, ${signed(value * map.unit, 4)} nats`;
    });
    scale.show(colours, "share of the lead", [[0, fixed(-limit, 2)], [0.5, "0"], [1, `+${fixed(limit, 2)}`]]);
    drawCell();
  }

  return {
    element,

    /** Draw what has been measured so far. */
    show() {
      const map = stage.get("effects");
      const live = Boolean(stage.get("live"));
      const state = map.state === "running" && !live ? "stopped" : map.state; // nobody measures on
      const running = state === "running";
      if (live) element.open = stage.get("mapping") !== "closed";
      set(element, { "data-state": state, "data-what": map.what });
      for (const [choice, trait] of /** @type {const} */ ([[what, "map_what"], [mode, "map_mode"], [instead, "map_instead"]])) {
        choice.mark(stage.get(trait));
        choice.enable(live);
      }
      other.readOnly = !live;
      if (document.activeElement !== other) other.value = stage.get("map_other");
      instead.element.hidden = stage.get("map_other") !== "";
      mode.element.hidden = !instead.element.hidden; // the second question needs another text
      run.hidden = running || state === "done" || !live;
      stop.hidden = progress.hidden = !running;
      progress.value = map.total ? map.done / map.total : 0;
      says.textContent = {
        idle: live ? "" : "a map needs the model, and here is none; open this before you save a page",
        running: map.total ? `${map.done} of ${map.total} cells measured. ${map.says}` : "estimating …",
        done: map.says,
        stopped: `stopped; what was finished stays. ${map.says}`,
        error: map.message,
      }[/** @type {"idle"} */ (state)];
      found.hidden = map.values.length === 0;
      if (found.hidden) return;
      trust.textContent = `${map.trust}${map.trust ? ". " : ""}Orange takes from the lead, or brings it; blue does the opposite; ~: estimated only${map.floor === null ? "" : "; without a colour: below the noise"}.`;
      if (element.open) paint(map);
    },

    /** The colours may be others. */
    fit() {
      painted = "";
    },
  };
}
