// @ts-check
// The dose of a direction: a slider, and what each dose does by itself: to the target, to the loss on ordinary text, beside
// random directions as long; what it writes, and at which dose the text falls apart.
//
// What tests can rely on:
//   [data-part="dose"]                        the section; hidden where no direction is added
//   [data-part="dose-slider"]                 an input of type range; [data-part="dose-says"]: the dose in words
//   [data-part="dose-measure"]                the button that asks for the curve
//   [data-part="dose-target" | "dose-loss"]   strips of dots (lib/dots.js), a row for each dose
//   [data-part="dose-writes"]                 what the measured dose next to the slider writes
//   [data-part="dose-sentence"]               what came of it, in words
import { isolated, make, pushButton, quotedToken, set } from "./dom.js";
import { dotStrip } from "./dots.js";
import { fixed } from "./numbers.js";

const LARGEST_DOSE = 8; // the largest dose of the slider, and of the curve
const DOSE_STEP = 0.25;

/**
 * @param {{id: string, ask: () => void, put: (at: number, dose: number, gesture: number) => void}} options
 *   `put`: another dose of the edit with this number; those of one gesture are one step back
 */
export function doseCurve({ id, ask, put }) {
  const heading = make("h3", { class: "bl-title" });
  const slider = make("input", { class: "bl-dose-slider", type: "range", min: 0, max: LARGEST_DOSE, step: DOSE_STEP, "aria-label": "dose of the direction", "data-lm-suppress-shortcuts": "true", "data-part": "dose-slider" });
  const says = make("output", { class: "bl-how", "data-part": "dose-says" });
  const measure = pushButton("measure each dose", { "data-part": "dose-measure", title: "the target, the loss on ordinary text, random directions as long, and what is written, dose by dose" }, ask);
  const target = dotStrip({ id: `${id}-target` });
  const loss = dotStrip({ id: `${id}-loss` });
  set(target.element, { "data-part": "dose-target" });
  set(loss.element, { "data-part": "dose-loss" });
  const writes = make("p", { class: "bl-how", dir: "auto", "data-part": "dose-writes" });
  const sentence = make("p", { class: "bl-how", role: "status", "data-part": "dose-sentence" });
  const targetTitle = make("h4", { class: "bl-how" });
  const picture = make(
    "div",
    { class: "bl-sheet-pair" },
    make("section", { "aria-label": "the target, dose by dose" }, targetTitle, target.element),
    make("section", { "aria-label": "the loss on ordinary text, dose by dose" }, make("h4", { class: "bl-how" }, "ordinary text, nats a token"), loss.element),
  );
  const element = make("section", { class: "bl-dose", "aria-label": "the dose of a direction", "data-part": "dose" }, heading, make("div", { class: "bl-row" }, make("label", { class: "bl-times" }, "dose ", slider), says, measure), picture, writes, sentence);
  let shown = "";
  let gesture = Math.floor(Math.random() * 1e9); // no other control counts from here
  let steered = /** @type {any} */ ({});
  let curve = /** @type {any} */ ({});

  slider.addEventListener("input", () => {
    drawDose(Number(slider.value));
    put(steered.at, Number(slider.value), gesture);
  });
  slider.addEventListener("change", () => (gesture += 1));
  slider.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => event.stopPropagation()); // arrow keys are the slider's

  /** @param {number} dose */
  function drawDose(dose) {
    const share = curve.size === undefined ? "" : `, ${Math.round(100 * Math.abs(dose) * curve.size)} % of a state's length`;
    const measured = curve.rows ?? [];
    const whole = measured.at(-1)?.dose >= LARGEST_DOSE;
    const apart = curve["falls apart"] ?? null;
    const end = apart !== null ? `; from dose ${apart} on the text falls apart` : whole ? `; up to dose ${LARGEST_DOSE} the text does not fall apart` : "; where the text falls apart is not measured yet";
    const text = `× ${dose}${share}${end}`;
    if (says.textContent !== text) says.textContent = text;
    set(slider, { "aria-valuetext": text });
    set(says, { "data-trouble": apart !== null && dose >= apart });
    const near = measured.reduce((/** @type {any} */ best, /** @type {any} */ row) => (best && Math.abs(best.dose - dose) <= Math.abs(row.dose - dose) ? best : row), null);
    const written = near ? `dose ${near.dose} writes: ${isolated(near.written)}` : "";
    if (writes.textContent !== written) writes.textContent = written;
  }

  /** @param {"target" | "loss"} of @param {"dots" | "losses"} chance @param {(value: number) => string} write */
  function rowsOf(of, chance, write) {
    return curve.rows.map((/** @type {any} */ row) => ({
      name: `dose ${row.dose}${row.loss > curve.limit ? ", falls apart" : ""}`,
      says: `${write(row[of])}; random ${write(Math.min(...row[chance]))} to ${write(Math.max(...row[chance]))}`,
      dots: [...row[chance].map((/** @type {number} */ value, /** @type {number} */ i) => ({ name: `random direction ${i + 1}`, value })), { name: "the direction", value: row[of], own: true }],
    }));
  }

  return {
    element,

    /**
     * @param {any} now what can be set: its number, its dose, its words @param {any} found `worth.curve`
     * @param {boolean} possible whether a kernel can measure it @param {boolean} running whether something is being measured
     * @param {string} metric @param {(value: number) => string} write a number of the target
     */
    show(now, found, possible, running, metric, write) {
      [steered, curve] = [now ?? {}, found ?? {}];
      element.hidden = steered.at === undefined;
      if (element.hidden) return;
      const { dose, one } = steered;
      heading.replaceChildren("a direction: ", make("bdi", { class: "bl-how" }, one));
      slider.disabled = !possible;
      set(slider, { min: Math.min(0, dose), max: Math.max(LARGEST_DOSE, dose) });
      if (document.activeElement !== slider || !possible) slider.value = String(dose);
      drawDose(dose);
      measure.hidden = !possible || Boolean(curve.rows);
      measure.disabled = running;
      picture.hidden = !curve.rows;
      const key = JSON.stringify(curve);
      if (key === shown) return;
      shown = key;
      sentence.textContent = curve.sentence ?? "";
      if (!curve.rows) return;
      targetTitle.replaceChildren("the target: ", ...(metric === "probability" ? ["p ", quotedToken(curve.answer)] : [quotedToken(curve.answer), " − ", quotedToken(curve.rival)]));
      const nats = (/** @type {number} */ value) => fixed(value, 2);
      const before = curve.rows.find((/** @type {any} */ row) => row.dose === 0) ?? curve.rows[0];
      target.show(rowsOf("target", "dots", write), { before: before.target, after: null }, write);
      loss.show(rowsOf("loss", "losses", nats), { before: before.loss, after: curve.limit, lines: ["as it is", "as if guessing"] }, nats);
    },
  };
}
