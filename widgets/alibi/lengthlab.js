// @ts-check
// The length lab: is a longer text harder? It measures when somebody presses its button, a line for each length.
//   [data-part="lab"]    data-state = idle | running | done | stopped | error; data-curves
//   [data-part="lab-run" | "lab-stop" | "lab-progress" | "lab-table"]
import { make, pushButton, set } from "../lib/dom.js";
import { fixed } from "../lib/numbers.js";
import { plot, roundStep } from "../lib/plot.js";

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @param {HTMLElement} title
 */
export function lengthLab(stage, title) {
  const lines = plot({ part: "lab-plot", says: "loss by position, one line for each length of text" });
  const run = pushButton("measure", { "data-part": "lab-run" }, () => {
    stage.choose({ wanted: stage.get("wanted") + 1 });
  });
  const stop = pushButton("cancel", { "data-part": "lab-stop" }, () => {
    stage.choose({ stopped: stage.get("stopped") + 1 });
  });
  const progress = make("progress", { class: "bl-progress", max: 1, value: 0, "aria-label": "tokens read", "data-part": "lab-progress" });
  const says = make("p", { class: "bl-note", role: "status", "aria-live": "polite" });
  const table = make("table", { class: "bl-facts bl-lab-table", "data-part": "lab-table" });
  const figure = make("div", { class: "bl-lab-figure" }, lines.element, table);
  const element = make(
    "section",
    { class: "bl-panel bl-wide", "aria-label": "length lab", "data-part": "lab" },
    title,
    make("p", { class: "bl-row" }, run, stop, progress),
    says,
    figure,
  );

  return {
    element,

    /** Draw what has been measured so far. */
    show() {
      const state = stage.get("lengths");
      const curves = state.curves;
      const running = state.state === "running";
      set(element, { "data-state": state.state, "data-curves": curves.length });
      run.disabled = running || !stage.get("live");
      run.textContent = curves.length ? "measure again" : "measure";
      stop.hidden = progress.hidden = !running;
      progress.value = state.total ? state.done / state.total : 0;
      figure.hidden = curves.length === 0;
      const idle = stage.get("live")
        ? "ALiBi promises that a model trained on short texts reads longer ones. Press to see: it takes a few seconds."
        : "a saved page: measuring needs the model";
      const means = new Map(curves.map((/** @type {any} */ c) => [c.length, c.mean]));
      const longest = curves.at(-1);
      const finding =
        longest && means.has(state.trained) && longest.length > state.trained
          ? ` ${longest.length} tokens, ${fixed(longest.length / state.trained, 0)}× the trained length: ${fixed(longest.mean, 2)} nats per token, against ${fixed(Number(means.get(state.trained)), 2)} at ${state.trained}.`
          : "";
      says.textContent = {
        idle,
        running: `reading ${state.message}: ${state.done} of ${state.total || "…"} tokens`,
        done: `${state.message}.${finding}`,
        stopped: `stopped; what was finished stays. ${state.message}.${finding}`,
        error: state.message,
      }[/** @type {"idle"} */ (state.state)];
      if (!longest) return;
      const losses = curves.flatMap((/** @type {any} */ c) => c.points.map((/** @type {number[]} */ p) => p[2]));
      const step = roundStep(Math.max(...losses) - Math.min(0, ...losses), 5);
      const top = step * Math.ceil((1.1 * Math.max(...losses)) / step);
      const across = (/** @type {number} */ pos) => Math.log2(pos) / Math.log2(longest.length);
      const middle = (/** @type {number[]} */ point) => across(Math.sqrt(point[0] * point[1]));
      const places = [1, 4, 16, 64, 256, 1024, 4096].filter((pos) => pos <= longest.length);
      lines.axes({
        left: Array.from({ length: Math.round(top / step) + 1 }, (_, i) => ({ at: 1 - (i * step) / top, text: fixed(i * step, step < 1 ? 1 : 0) })),
        below: places.map((pos) => ({ at: across(pos), text: String(pos) })),
      });
      lines.show(
        [
          ...(state.trained && state.trained <= longest.length
            ? [{ points: /** @type {[number, number][]} */ ([[across(state.trained), 0], [across(state.trained), 1]]), colour: "--bl-ink", width: 1, dash: [4, 4] }]
            : []),
          ...curves.map((/** @type {any} */ c, /** @type {number} */ i) => ({
            points: c.points.map((/** @type {number[]} */ p) => [middle(p), 1 - p[2] / top]),
            colour: i === curves.length - 1 ? "--bl-accent" : "--bl-quiet",
            width: 1 + (2 * (i + 1)) / curves.length,
          })),
        ],
        [
          ...(state.trained && state.trained <= longest.length ? [{ x: across(state.trained), y: 0.1, text: "trained" }] : []),
          ...curves
            .filter((/** @type {any} */ c) => c.points.length)
            .map((/** @type {any} */ c, /** @type {number} */ i) => ({
              x: middle(c.points.at(-1)),
              y: 1 - c.points.at(-1)[2] / top + (i === curves.length - 1 ? 0.1 : 0), // the last one below its line
              text: String(c.length),
              strong: i === curves.length - 1,
              before: i === curves.length - 1,
            })),
        ],
      );
      table.replaceChildren(
        make("thead", {}, make("tr", {}, ...["length", "nats per token", "texts"].map((word) => make("th", { scope: "col" }, word)))),
        make(
          "tbody",
          {},
          ...curves.map((/** @type {any} */ c) =>
            make("tr", {}, make("th", { scope: "row" }, c.length === state.trained ? `${c.length} · trained` : String(c.length)), make("td", { class: "bl-value" }, fixed(c.mean, 3)), make("td", { class: "bl-value" }, String(c.rows))),
          ),
        ),
      );
    },
  };
}
