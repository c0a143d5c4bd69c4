// @ts-check
// Where the answer is carried: a map of effects, estimated first and then measured, a share of the lead in each cell.
//   [data-part="effects"]                  data-state = idle | running | done | stopped | error; data-what
//   input[name][value="stream | mlps | heads | positions | looks"], [value="needed | enough"], [value="drawn | zero"]
//   [data-part="effects-other"]            a box: another text to copy from; empty: something else stands in a cell's place
//   [data-part="effects-answer" | "effects-rival"]   boxes: the tokens whose difference is shared out
//   [data-part="effects-run" | …]          lib/job.js; [data-part="effects-trust"]
//   [data-part="effects-grid"] [data-cell][data-row][data-column]   data-value: a share; data-rough: only estimated; of many
//                                          texts data-spread, and data-unstable: its sign turns in too many of them
//   [data-part="effects-cell"]             the chosen cell in words; [data-silence]: the same as an edit
import { divergingColours, signedStep } from "../lib/colours.js";
import { isolated, make, pushButton, set } from "../lib/dom.js";
import { tokenGrid } from "../lib/grid.js";
import { jobBox, overTexts, typedBox } from "../lib/job.js";
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
  const other = typedBox(stage, { part: "effects-other", word: "copied from", trait: "map_other", looks: "bl-typed bl-effects-other" });
  const answer = typedBox(stage, { part: "effects-answer", word: "answer", trait: "map_answer" });
  const rival = typedBox(stage, { part: "effects-rival", word: "rival", trait: "map_rival" });
  const over = overTexts(stage, "map_over");
  const job = jobBox(stage, { part: "effects", opens: "mapping", start: "open", title: "where the answer is carried", how: "a map of effects", looks: "bl-panel bl-effects", says: "bl-effects-says", counts: "cells measured" });
  const trust = make("p", { class: "bl-note", dir: "auto", "data-part": "effects-trust" });
  const cell = make("p", { class: "bl-effects-says", "data-part": "effects-cell" });
  const grid = tokenGrid({ part: "effects-grid", says: "effects; the arrow keys choose a cell", kind: "bl-state", pick, point: () => {} });
  const scale = legend();
  const found = make("div", {}, grid.element, scale.element, cell, trust);
  const row = (/** @type {Node[]} */ ...inside) => make("div", { class: "bl-row bl-effects-asks" }, ...inside);
  const element = job.element;
  element.append(row(what.element), row(answer.element, rival.element, over.element), row(other.element, mode.element, instead.element), row(job.run, job.stop, job.progress), job.says, found);

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
    const [of, head] = (map.what === "looks" ? map.of : layer).split(".");
    if (map.what === "looks") return { spot: `h.${of}.attn.${map.kind === "zero" ? "probs" : "biased"}`, axes: { head: [Number(head)], query: [row], key: [token] } };
    return { spot: `h.${of}.attn.mixed`, axes: { head: [Number(head)], query: [token] } };
  }

  /** What the button of a cell is called, and the wish that it makes. @param {any} map @param {import("../lib/grid.js").Place} place @returns {[string, string, Record<string, any>]} */
  function changeOf(map, place) {
    const edit = editOf(map, place);
    if (map.what === "looks" && map.kind !== "zero") return ["cut", "cut this look; the row is shared anew", { edit: { ...edit, kind: "cut" } }]; // no other text's look is put there from a page
    if (map.other) return ["copy", "put what the other text has there in its place, as an edit", { edit: { ...edit, kind: "copied" }, donor: map.other }];
    return map.kind === "drawn" ? ["replace", "put what another text has there in its place, as an edit", { edit: { ...edit, kind: "drawn" } }] : ["silence", "put zeros in its place, as an edit", { edit: { ...edit, kind: "zero" } }];
  }

  function drawCell() {
    const map = stage.get("effects");
    const { down, across } = sides(map);
    const value = map.values[numberOf(map, chosen)];
    const name = `${down[chosen.row]}, ${isolated(across[chosen.token])}`;
    const measured = map.measured[numberOf(map, chosen)];
    const spread = map.spread[numberOf(map, chosen)];
    const unstable = map.unstable[numberOf(map, chosen)];
    const texts = map.texts > 1 && value !== null ? `; over ${map.texts} texts ± ${fixed(spread, 3)}, ${fixed(100 * map.turned[numberOf(map, chosen)], 0)} % of them with another sign${unstable ? ": unstable" : ""}` : "";
    const tells = value === null || value === undefined ? "no cell" : `${measured ? "" : "about "}${signed(value, 3)} of the lead, ${signed(map.nats[numberOf(map, chosen)], 3)} nats${measured ? "" : ", estimated only"}${texts}${map.floor !== null && Math.abs(value) < map.floor ? "; that is below the noise" : ""}`;
    const can = stage.get("live") && stage.get("editable") && map.mode !== "enough" && map.state !== "running" && value !== null; // with “enough” it is the other text that is changed
    const [word, title, wish] = changeOf(map, chosen);
    const button = can && pushButton(word, { class: "bl-button", title, "data-silence": name }, () => stage.wish({ do: "add", ...wish }));
    cell.replaceChildren(`${name}: ${tells} `, ...(button ? [button] : []));
    grid.mark(chosen, null);
  }

  let painted = "";
  let last = "";
  /** @param {any} map */
  function paint(map) {
    const now = JSON.stringify([map.what, map.rows, map.columns, map.values, map.measured, map.unstable, stage.get("live"), map.state === "running"]);
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
      const spread = map.texts > 1 && value !== null && map.spread[numberOf(map, place)];
      const unstable = !quiet && value !== null && Boolean(map.unstable[numberOf(map, place)]);
      if (unstable) box.firstChild.textContent += "?";
      const also = spread === false ? "" : `, ± ${fixed(spread, 3)} over ${map.texts} texts${unstable ? ", its sign turns in many of them" : ""}`;
      set(box, { "data-spread": spread, "data-unstable": unstable, "data-value": value ?? false, "data-rough": rough && value !== null, "data-quiet": quiet, "data-on": value !== null && !quiet && brightness(colour), "aria-label": `${down[place.row]}, ${isolated(across[place.token])}: ${value === null ? "no cell" : `${rough ? "about " : ""}${signed(value, 3)} of the lead, ${signed(map.nats[numberOf(map, place)], 2)} nats${also}`}` });
      box.title = value === null ? "" : `${signed(value, 4)} of the lead, ${signed(map.nats[numberOf(map, place)], 4)} nats${also}`;
    });
    scale.show(colours, "share of the lead", [[0, fixed(-limit, 2)], [0.5, "0"], [1, `+${fixed(limit, 2)}`]]);
    drawCell();
  }

  return {
    element,

    /** Draw what has been measured so far. */
    show() {
      const map = stage.get("effects");
      const { live } = job.show(map, {
        idle: "a map needs the model, and here is none; open this before you save a page",
        begun: "estimating …",
        so: ({ done, total, says }) => (stage.get("map_over") === "texts" ? `${fixed((100 * done) / total, 0)} % measured. ${says}` : `${done} of ${total} cells measured. ${says}`),
      });
      set(element, { "data-what": map.what });
      for (const [choice, trait] of /** @type {const} */ ([[what, "map_what"], [mode, "map_mode"], [instead, "map_instead"]])) {
        choice.mark(stage.get(trait));
        choice.enable(live);
      }
      over.show(live);
      answer.show(live, map.answer, map.offers);
      rival.show(live, map.rival, map.offers);
      other.show(live, "another text of as many tokens");
      instead.element.hidden = stage.get("map_other") !== "";
      mode.element.hidden = !instead.element.hidden; // the second question needs another text
      found.hidden = map.values.length === 0;
      if (found.hidden) return;
      trust.textContent = `${map.trust}${map.trust ? ". " : ""}Orange takes from the lead, or brings it; blue does the opposite; ~: estimated only${map.floor === null ? "" : "; without a colour: below the noise"}${map.texts > 1 ? "; ?, hatched: unstable" : ""}.`;
      if (element.open) paint(map);
    },

    /** The colours may be others. */
    fit() {
      painted = "";
    },
  };
}
