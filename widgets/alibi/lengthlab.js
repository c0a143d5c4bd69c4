// @ts-check
// The lab asks one of three questions, when somebody presses its button: is a longer text harder, a line for each length;
// what if the slopes were others, the loss by what they are multiplied by; or, of a model with twins that know positions in
// other ways, which of them read longer texts, a line for each twin.
//   [data-part="lab"]    data-state = idle | running | done | stopped | error; data-curves; data-points; data-twins; data-question
//   input[name][value="lengths | slopes | twins"], [value="all | head"]      the question; of slopes, whose
//   [data-part="lab-run" | "lab-stop" | "lab-progress" | "lab-table"]
//   [data-part="lab-key"] [data-twin]    the legend of the twins' lines
import { TWIN_LINES, twinsSay } from "./twins.js";
import { make, pushButton, set } from "../lib/dom.js";
import { fixed } from "../lib/numbers.js";
import { plot, roundStep } from "../lib/plot.js";
import { toggles } from "../lib/toggles.js";

const QUESTIONS = [
  ["lengths", "is a longer text harder?", "loss in nats per token ↑ by position →"],
  ["slopes", "what if the slopes were others?", "loss in nats per token ↑ by what the trained slopes are multiplied by →"],
  ["twins", "what if it knew positions otherwise?", "loss in nats per token ↑ by tokens in the text →"],
];
const FLAT = 1 / 16; // where factor 0 stands on the log axis
const MOST = 8; // the largest factor

/** @param {import("../lib/frame.js").Stage} stage */
export function lengthLab(stage) {
  const lines = plot({ part: "lab-plot", says: "loss by position, one line for each length of text; by slope; or by length, one line for each twin" });
  const run = pushButton("measure", { "data-part": "lab-run" }, () => {
    stage.choose({ wanted: stage.get("wanted") + 1 });
  });
  const stop = pushButton("cancel", { "data-part": "lab-stop" }, () => {
    stage.choose({ stopped: stage.get("stopped") + 1 });
  });
  const progress = make("progress", { class: "bl-progress", max: 1, value: 0, "aria-label": "tokens read", "data-part": "lab-progress" });
  const says = make("p", { class: "bl-note", role: "status", "aria-live": "polite" });
  const table = make("table", { class: "bl-facts bl-lab-table", "data-part": "lab-table" });
  const key = make("p", { class: "bl-key", "data-part": "lab-key" });
  const figure = make("div", { class: "bl-lab-figure" }, make("div", {}, key, lines.element), table);
  const how = make("p", { class: "bl-how" });
  const questions = toggles({ id: `${stage.id}-question`, says: "what the lab is asked", choices: QUESTIONS, choose: (question) => stage.choose({ question }) });
  const ofTwins = /** @type {HTMLElement} */ (questions.element.lastElementChild); // the last question
  const whose = toggles({ id: `${stage.id}-whose`, says: "whose slopes", choices: [["all", "all heads"], ["head", "the chosen head"]], choose: (one) => stage.choose({ whose: one }) });
  const element = make(
    "section",
    { class: "bl-panel bl-wide", "aria-label": "length lab", "data-part": "lab" },
    make("h3", { class: "bl-title" }, "measure on long texts ", make("span", { class: "bl-how" }, "the lab")),
    questions.element,
    whose.element,
    how,
    make("p", { class: "bl-row" }, run, stop, progress),
    says,
    figure,
  );

  /** @param {string[]} head @param {string[][]} rows */
  function fill(head, rows) {
    table.replaceChildren(
      make("thead", {}, make("tr", {}, ...head.map((word) => make("th", { scope: "col" }, word)))),
      make("tbody", {}, ...rows.map(([first, ...rest]) => make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((word) => make("td", { class: "bl-value" }, word))))),
    );
  }

  /** @param {any} state */
  function showLengths({ curves, trained }) {
    const longest = curves.at(-1);
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
        ...(trained && trained <= longest.length
          ? [{ points: /** @type {[number, number][]} */ ([[across(trained), 0], [across(trained), 1]]), colour: "--bl-ink", width: 1, dash: [4, 4] }]
          : []),
        ...curves.map((/** @type {any} */ c, /** @type {number} */ i) => ({
          points: c.points.map((/** @type {number[]} */ p) => [middle(p), 1 - p[2] / top]),
          colour: i === curves.length - 1 ? "--bl-accent" : "--bl-quiet",
          width: 1 + (2 * (i + 1)) / curves.length,
        })),
      ],
      [
        ...(trained && trained <= longest.length ? [{ x: across(trained), y: 0.1, text: "trained" }] : []),
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
    fill(
      ["length", "nats per token", "texts"],
      curves.map((/** @type {any} */ c) => [c.length === trained ? `${c.length} · trained` : String(c.length), fixed(c.mean, 3), String(c.rows)]),
    );
  }

  /** @param {{points: [number, number][], desk: number | null}} found */
  function showSlopes({ points, desk }) {
    const losses = [...points.map(([, loss]) => loss), ...(desk === null ? [] : [desk])];
    const [least, most] = [Math.min(...losses), Math.max(...losses)];
    const step = roundStep(Math.max(most - least, 0.01), 5);
    const [bottom, top] = [step * Math.floor(least / step), step * (Math.floor(most / step) + 1)];
    const up = (/** @type {number} */ loss) => (top - loss) / (top - bottom);
    const across = (/** @type {number} */ factor) => (Math.log2(factor || FLAT) - Math.log2(FLAT)) / (Math.log2(MOST) - Math.log2(FLAT));
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    lines.axes({
      left: Array.from({ length: Math.round((top - bottom) / step) + 1 }, (_, i) => ({ at: up(bottom + i * step), text: fixed(bottom + i * step, digits) })),
      below: [[0, "0, flat"], [0.125, "⅛"], [0.25, "¼"], [0.5, "½"], [1, "1"], [2, "2"], [4, "4"], [8, "8"]].map(([factor, text]) => ({ at: across(Number(factor)), text: String(text) })),
    });
    const place = (/** @type {[number, number]} */ [factor, loss]) => /** @type {[number, number]} */ ([across(factor), up(loss)]);
    const tick = 0.008;
    const crosses = points.map((point) => {
      const [x, y] = place(point);
      return { points: /** @type {[number, number][]} */ ([[x - tick, y], [x + tick, y]]), colour: "--bl-accent", width: 5 };
    });
    lines.show(
      [
        { points: [[across(1), 0], [across(1), 1]], colour: "--bl-ink", width: 1, dash: [4, 4] },
        ...(desk === null ? [] : [{ points: /** @type {[number, number][]} */ ([[0, up(desk)], [1, up(desk)]]), colour: "--bl-positive", width: 2, dash: [6, 3] }]),
        { points: points.filter(([factor]) => factor > 0).map(place), colour: "--bl-accent", width: 2 }, // 0 is no neighbour on a log axis
        ...crosses,
      ],
      [
        { x: across(1), y: 0.1, text: "as trained" },
        ...(desk === null ? [] : [{ x: 1, y: up(desk), text: "the slopes as they stood", before: true, strong: true }]),
      ],
    );
    fill(
      ["slopes ×", "nats per token"],
      [...points.map(([factor, loss]) => [factor === 1 ? "1 · trained" : String(Number(factor.toPrecision(3))), fixed(loss, 3)]), ...(desk === null ? [] : [["as they stood", fixed(desk, 3)]])],
    );
  }

  /** @param {{trained: number, curves: import("./twins.js").Twin[]}} found */
  function showTwins({ trained, curves }) {
    const points = curves.flatMap((twin) => twin.points);
    const lengths = [...new Set(points.map(([length]) => length))].sort((a, b) => a - b);
    const [first, last] = [lengths[0], lengths[lengths.length - 1]];
    const losses = points.map(([, loss]) => loss);
    const step = roundStep(Math.max(Math.max(...losses) - Math.min(...losses), 0.01), 5);
    const [bottom, top] = [step * Math.floor(Math.min(...losses) / step), step * (Math.floor(Math.max(...losses) / step) + 1)];
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    const across = (/** @type {number} */ length) => (last > first ? Math.log2(length / first) / Math.log2(last / first) : 0.5);
    const place = (/** @type {[number, number]} */ [length, loss]) => /** @type {[number, number]} */ ([across(length), (top - loss) / (top - bottom)]);
    lines.axes({
      left: Array.from({ length: Math.round((top - bottom) / step) + 1 }, (_, i) => ({ at: (i * step) / (top - bottom), text: fixed(top - i * step, digits) })),
      below: lengths.map((length) => ({ at: across(length), text: String(length) })),
    });
    const within = trained >= first && trained <= last;
    const tick = 0.006;
    const drawn = curves.flatMap((twin, i) => {
      const { colour, dash } = TWIN_LINES[i % TWIN_LINES.length];
      const at = twin.points.map(place);
      const marks = at.map(([x, y]) => ({ points: /** @type {[number, number][]} */ ([[x - tick, y], [x + tick, y]]), colour, width: 6 }));
      return [{ points: at, colour, width: 2, dash }, ...marks];
    });
    lines.show(
      [...(within ? [{ points: /** @type {[number, number][]} */ ([[across(trained), 0], [across(trained), 1]]), colour: "--bl-ink", width: 1, dash: [4, 4] }] : []), ...drawn],
      within ? [{ x: across(trained), y: 0.1, text: "trained" }] : [],
    );
    key.replaceChildren(
      ...curves.map(({ name }, i) => {
        const { colour, dash } = TWIN_LINES[i % TWIN_LINES.length];
        const swatch = make("span", { class: "bl-dash" });
        swatch.style.setProperty("--bl-colour", `var(${colour})`);
        swatch.style.setProperty("--bl-on", String(dash[0] ?? 1));
        swatch.style.setProperty("--bl-off", String(dash[1] ?? 0));
        return make("span", { "data-twin": name }, swatch, ` ${name}`);
      }),
    );
    const ends = [...new Set([...(within ? [trained] : [first]), last])];
    fill(
      ["model", ...ends.map((length) => (length === trained ? `${length} · trained` : String(length)))],
      curves.map((twin) => [twin.name, ...ends.map((length) => { const point = twin.points.find(([of]) => of === length); return point ? fixed(point[1], 3) : "–"; })]),
    );
  }

  /** What the slopes' curve says, in a sentence. @param {any} found */
  function findingOf({ head, points, desk }) {
    const whole = points.find((/** @type {number[]} */ [factor]) => factor === 1);
    if (!whole) return "";
    const best = points.reduce((/** @type {number[]} */ a, /** @type {number[]} */ b) => (b[1] < a[1] ? b : a));
    const flat = points.find((/** @type {number[]} */ [factor]) => factor === 0);
    const who = head === null ? "All heads" : `Head ${head} alone, in every layer`;
    return [
      ` ${who}: best ${best[0] === 1 ? "as trained" : `at × ${Number(best[0].toPrecision(3))}`}, ${fixed(best[1], 3)} nats per token`,
      best[0] === 1 ? "" : `, against ${fixed(whole[1], 3)} as trained`,
      flat ? `; flat, ${fixed(flat[1], 3)}` : "",
      desk === null ? "" : `; the slopes as they stood, ${fixed(desk, 3)}`,
      ".",
    ].join("");
  }

  return {
    element,

    /** Draw what has been measured so far. */
    show() {
      const state = stage.get("lengths");
      const question = stage.get("question");
      const ofSlopes = question === "slopes";
      const byTwin = question === "twins";
      const { curves, by_slope: bySlope, twins } = state;
      const points = bySlope?.points ?? [];
      const measured = (twins?.curves ?? []).filter((/** @type {import("./twins.js").Twin} */ twin) => twin.points.length);
      const now = state.state === "running" && !stage.get("live") ? "stopped" : state.state; // nobody reads on
      const running = now === "running";
      const mine = !state.asked || state.asked === question; // what the state is about
      const any = (byTwin ? measured : ofSlopes ? points : curves).length > 0;
      const shown = mine ? now : any ? "done" : "idle";
      set(element, { "data-state": shown, "data-curves": curves.length, "data-points": points.length, "data-twins": measured.length, "data-question": question });
      questions.mark(question);
      ofTwins.hidden = !stage.get("twins").any;
      whose.mark(stage.get("whose"));
      whose.element.hidden = !ofSlopes;
      how.textContent = QUESTIONS.filter(([name]) => name === question)[0][2];
      run.disabled = running || !stage.get("live");
      run.textContent = any ? "measure again" : "measure";
      stop.hidden = progress.hidden = !running;
      progress.value = state.total ? state.done / state.total : 0;
      figure.hidden = !any;
      const idle = !stage.get("live")
        ? "measuring needs the model, and here is none"
        : ofSlopes
          ? "The slopes were fixed before training began. Press to see what others, and none at all, would do: it takes some seconds."
          : byTwin
            ? "Five twins of this model were trained alike on short texts; they differ in how they know where a token stands. Press to see which of them read longer ones: it takes some seconds."
            : "ALiBi promises that a model trained on short texts reads longer ones. Press to see: it takes a few seconds.";
      const means = new Map(curves.map((/** @type {any} */ c) => [c.length, c.mean]));
      const longest = curves.at(-1);
      const ofLengths =
        longest && means.has(state.trained) && longest.length > state.trained
          ? ` ${longest.length} tokens, ${fixed(longest.length / state.trained, 0)}× the trained length: ${fixed(longest.mean, 2)} nats per token, against ${fixed(Number(means.get(state.trained)), 2)} at ${state.trained}.`
          : "";
      const finding = byTwin ? twinsSay(twins, shown === "done") : ofSlopes && any ? findingOf(bySlope) : ofSlopes ? "" : ofLengths;
      const read = (mine ? state.message : byTwin ? twins.says : bySlope?.says) || "measured before";
      says.textContent = {
        idle,
        running: `reading ${read}: ${state.done} of ${state.total || "…"} tokens.${finding}`,
        done: `${read}.${finding}`,
        stopped: `stopped; what was finished stays. ${read}.${finding}`,
        error: state.message,
      }[/** @type {"idle"} */ (shown)];
      if (!any) return;
      key.hidden = !byTwin;
      if (byTwin) showTwins({ ...twins, curves: measured });
      else if (ofSlopes) showSlopes(bySlope);
      else showLengths(state);
    },
  };
}
