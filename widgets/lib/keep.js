// @ts-check
// Is that all? Keep only some parts, or take only these out: how much of the answer is left as one after the other is
// named, among random sets of as many.
//
// What tests can rely on:
//   [data-part="keep"]                        the section; hidden where there is nothing to show and nobody to measure it
//   [data-part="keep-parts"]                  the names that are typed: "3.4, mlp 3"
//   [data-part="keep-selected"]               adds the head that is selected
//   [data-part="keep-instead"]                what stands in the place of what is replaced
//   [data-part="keep-mlps"]                   whether MLPs are among what is replaced; they are if one is named
//   [data-part="keep-only" | "keep-without"]  ask for it
//   [data-part="keep-says"]                   what came of it, in words; the curve is a strip of dots (lib/dots.js)
import { make, pushButton, set } from "./dom.js";
import { dotStrip } from "./dots.js";
import { fixed } from "./numbers.js";

const REPLACED_BY = [
  ["drawn", "drawn", "what is drawn from like texts"],
  ["usual", "usual", "the mean of like texts"],
  ["zero", "nothing", "zeros"],
];
const LONGEST = 2000; // characters of names

/**
 * @param {{id: string, ask: (mode: "keep" | "without", of: {parts: string[], instead: string, among: string}) => void,
 *   selected: () => {layer: number, head: number}}} options
 */
export function keepCurve({ id, ask, selected }) {
  const names = make("input", { class: "bl-factor bl-parts", type: "text", spellcheck: "false", maxlength: LONGEST, placeholder: "3.4, mlp 3", "aria-label": "heads and MLPs, the most important first", "data-lm-suppress-shortcuts": "true", "data-part": "keep-parts" });
  const instead = make("select", { class: "bl-select", "aria-label": "what stands in the place of what is replaced", "data-lm-suppress-shortcuts": "true", "data-part": "keep-instead" }, ...REPLACED_BY.map(([value, word, title]) => make("option", { value, title }, word)));
  const mlps = make("input", { type: "checkbox", "data-lm-suppress-shortcuts": "true", "data-part": "keep-mlps" });
  const parts = () => names.value.split(/[,;\n]+/).map((/** @type {string} */ name) => name.trim().toLowerCase().replace(/^head\s+/, "")).filter(Boolean); // as the table beside it calls them, too
  const adds = pushButton("", { class: "bl-button bl-plain", title: "add the head that is selected", "data-part": "keep-selected" }, () => {
    const { layer, head } = selected();
    const all = parts();
    if (!all.includes(`${layer}.${head}`)) names.value = [...all, `${layer}.${head}`].join(", ");
    arm();
  });
  const keeps = pushButton("keep only these", { "data-part": "keep-only", title: "all others replaced" }, () => send("keep"));
  const removes = pushButton("take only these out", { "data-part": "keep-without", title: "only these replaced" }, () => send("without"));
  names.addEventListener("input", arm);
  names.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && !keeps.disabled) keeps.click();
  });
  const dots = dotStrip({ id: `${id}-dots` });
  const says = make("p", { class: "bl-how", role: "status", "data-part": "keep-says" });
  const asks = make("div", { class: "bl-row bl-keep-asks" }, names, adds, make("label", { class: "bl-times" }, "replaced by ", instead), make("label", { class: "bl-times" }, mlps, " MLPs, too"), keeps, removes);
  const title = make("h3", { class: "bl-title" }, "is that all? ", make("span", { class: "bl-how" }, "how much of the answer some parts keep"));
  const element = make("section", { class: "bl-keep", "aria-label": "how much of the answer some parts keep", "data-part": "keep" }, title, asks, dots.element, says);
  let shown = "";
  let busy = false;

  const named = () => parts().some((/** @type {string} */ name) => name.startsWith("mlp"));

  /** @param {"keep" | "without"} mode */
  function send(mode) {
    ask(mode, { parts: parts(), instead: instead.value, among: mlps.checked ? "all" : "heads" });
  }

  function arm() {
    mlps.disabled = named(); // one that is named is among them
    if (named()) mlps.checked = true;
    keeps.disabled = removes.disabled = busy || parts().length === 0;
  }

  return {
    element,

    /**
     * @param {any} kept `worth.kept` @param {boolean} possible whether a kernel can measure it
     * @param {boolean} running whether something is being measured
     */
    show(kept, possible, running) {
      const found = Boolean(kept.rows);
      element.hidden = !found && !possible;
      asks.hidden = !possible;
      busy = running;
      const { layer, head } = selected();
      adds.textContent = `+ ${layer}.${head}`;
      arm();
      dots.element.hidden = !found;
      const now = JSON.stringify(kept);
      if (now === shown) return;
      shown = now;
      says.textContent = found ? kept.sentence : "";
      set(element, { "data-mode": found && kept.mode });
      if (!found) return;
      const write = (/** @type {number} */ value) => `${fixed(value, 2)} of the answer`;
      const rows = kept.rows.map((/** @type {any} */ { name, share, dots: chance }, /** @type {number} */ at) => ({
        name,
        says: share === null ? "" : `${fixed(share, 2)}; random sets ${fixed(Math.min(...chance), 2)} to ${fixed(Math.max(...chance), 2)}`,
        none: share === null ? "all kept and none kept say the same" : "",
        dots: share === null ? [] : [...chance.map((/** @type {number} */ value, /** @type {number} */ i) => ({ name: `random set ${i + 1}`, value })), { name: kept.parts.slice(0, at + 1).join(", "), value: share, own: true }],
      }));
      dots.show(rows, { before: 0, after: 1, lines: ["all replaced", "none replaced"] }, write);
    },
  };
}
