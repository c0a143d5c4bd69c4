// @ts-check
// Which tokens mattered for the next one: three answers to three questions, side by side, and where they part.
//   [data-part="mattered"]                 data-state = idle | running | done | stopped | error
//   [data-part="mattered-answer" | "mattered-rival"]   boxes: the next token, and what it is measured by
//   [data-part="mattered-run" | "mattered-stop" | "mattered-progress" | "mattered-says" | "mattered-closes"]
//   [data-part="mattered-table"] tr[data-token]       data-left-out, data-gradient, data-integrated: in nats; data-furthest
import { isolated, make, pushButton, quoted, set } from "../lib/dom.js";
import { signed } from "../lib/numbers.js";

const ANSWERS = [
  ["left_out", "left out", "by how much the lead falls with something else in the place of this token"],
  ["gradient", "gradient × input", "what the slope promises if a little of it were gone"],
  ["integrated", "integrated", "integrated gradients: its share of the whole change"],
];

/** @param {import("../lib/frame.js").Stage} stage @param {(token: number) => void} pick */
export function tokenWeights(stage, pick) {
  const run = pushButton("measure", { "data-part": "mattered-run" }, () => stage.choose({ attributing: "open" }));
  const stop = pushButton("cancel", { "data-part": "mattered-stop" }, () => stage.choose({ attributing: "stopped" }));
  const progress = make("progress", { class: "bl-progress", max: 1, value: 0, "aria-label": "runs of the model", "data-part": "mattered-progress" });
  const answer = box("mattered-answer", "next token", "mattered_answer");
  const rival = box("mattered-rival", "against", "mattered_rival");
  const says = make("p", { class: "bl-says-mattered", role: "status", "aria-live": "polite", dir: "auto", "data-part": "mattered-says" });
  const closes = make("p", { class: "bl-note", "data-part": "mattered-closes" });
  const body = make("tbody");
  const head = make("tr", {}, make("th", { scope: "col" }, "token"), ...ANSWERS.map(([, word, plain]) => make("th", { scope: "col", colspan: 2, title: plain }, word)), make("td"));
  const table = make("table", { class: "bl-mattered", "data-part": "mattered-table" }, make("thead", {}, head), body);
  const wide = make("div", { class: "bl-mattered-wide", tabindex: 0, role: "group", "aria-label": "what each token gives", "data-lm-suppress-shortcuts": "true" }, table);
  const summary = make("summary", { "data-lm-suppress-shortcuts": "true" }, "which tokens mattered for the next one ", make("span", { class: "bl-how" }, "left out · gradient × input · integrated gradients"));
  const element = make("details", { class: "bl-compare", "data-part": "mattered" }, summary, make("div", { class: "bl-row bl-mattered-asks" }, answer.element, rival.element, run, stop, progress), says, wide, closes);
  summary.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    event.preventDefault(); // it opens when the view has heard of it
    if (stage.get("live")) stage.choose({ attributing: element.open ? "closed" : "open" });
    else element.open = !element.open; // a saved page keeps what it has
  });

  /** @param {string} part @param {string} word @param {string} trait */
  function box(part, word, trait) {
    const input = make("input", { type: "text", dir: "auto", id: `${stage.id}-${part}`, spellcheck: "false", autocomplete: "off", "data-lm-suppress-shortcuts": "true", "data-part": part });
    const send = () => {
      const whole = input.value.isWellFormed?.() ?? true; // Python's side could not even write half a character down
      if (whole && input.value !== stage.get(trait)) stage.choose({ [trait]: input.value });
    };
    input.addEventListener("change", send);
    input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      event.stopPropagation(); // the notebook's shortcuts are not meant
      if (event.key === "Enter" && !event.isComposing) send();
    });
    return { input, trait, element: make("label", { for: input.id }, `${word} `, input) };
  }

  let painted = "";
  /** @param {any} mattered @param {string[]} names @param {number} query */
  function paint(mattered, names, query) {
    const can = Boolean(stage.get("live") && stage.get("editable")) && mattered.state !== "running";
    const now = JSON.stringify([mattered.left_out, mattered.gradient, mattered.integrated, names, can]);
    if (now !== painted) {
      painted = now;
      const most = Object.fromEntries(ANSWERS.map(([kind]) => [kind, Math.max(1e-12, ...mattered[kind].map((/** @type {number | null} */ value) => Math.abs(value ?? 0)))]));
      body.replaceChildren(...names.map((name, token) => row(mattered, name, token, most, can)));
    }
    for (const line of body.children) set(line, { "data-picked": Number(line.getAttribute("data-token")) === query });
  }

  /** @param {any} mattered @param {string} name @param {number} token @param {Record<string, number>} most @param {boolean} can */
  function row(mattered, name, token, most, can) {
    const go = pushButton(`${token} `, { class: "bl-button bl-plain" }, () => pick(token));
    go.append(quoted(name));
    const silence = pushButton("silence", { class: "bl-button bl-plain", "aria-label": `silence token ${token} ${isolated(name)}`, title: "zeros in the place of its embedding, as an edit", "data-silence": token }, () => stage.wish({ do: "add", edit: { spot: "embed", kind: "zero", axes: { pos: [token] } } }));
    const cells = ANSWERS.flatMap(([kind]) => {
      const value = mattered[kind][token];
      if (value === null || value === undefined) return [make("td", { class: "bl-weight-box" }), make("td", { class: "bl-number" }, "–")];
      const bar = make("span", { class: "bl-weight", "aria-hidden": "true", "data-sign": value < 0 ? "negative" : "positive" }, make("span"));
      bar.style.setProperty("--bl-part", (Math.abs(value) / most[kind]).toFixed(4));
      return [make("td", { class: "bl-weight-box" }, bar), make("td", { class: "bl-number", title: `${signed(value, 6)} nats` }, signed(value, 2))];
    });
    const data = Object.fromEntries(ANSWERS.flatMap(([kind]) => (mattered[kind][token] === null ? [] : [[`data-${kind.replace("_", "-")}`, mattered[kind][token]]])));
    return make("tr", { "data-token": token, "data-furthest": token === mattered.furthest, ...data }, make("th", { scope: "row" }, go), ...cells, make("td", {}, ...(can ? [silence] : [])));
  }

  return {
    element,

    /** @param {string[]} names @param {number} query the chosen token */
    show(names, query) {
      const mattered = stage.get("mattered");
      const live = Boolean(stage.get("live"));
      const state = mattered.state === "running" && !live ? "stopped" : mattered.state; // nobody measures on
      const running = state === "running";
      const there = mattered.left_out.length === names.length;
      if (live) element.open = stage.get("attributing") !== "closed";
      set(element, { "data-state": state });
      for (const [{ input, trait }, word] of /** @type {const} */ ([[answer, mattered.answer], [rival, mattered.rival]])) {
        input.readOnly = !live;
        set(input, { placeholder: word ? isolated(word) : "" });
        if (document.activeElement !== input) input.value = stage.get(trait);
      }
      run.hidden = running || state === "done" || !live;
      stop.hidden = progress.hidden = !running;
      progress.value = mattered.total ? mattered.done / mattered.total : 0;
      says.textContent = {
        idle: live ? "" : "this needs the model, and here is none; open this before you save a page",
        running: mattered.total ? `${mattered.done} of ${mattered.total} runs` : "measuring …",
        done: mattered.says,
        stopped: `stopped; what was finished stays. ${mattered.says}`,
        error: mattered.message,
      }[/** @type {"idle"} */ (state)];
      wide.hidden = closes.hidden = !there;
      if (!there) return;
      closes.textContent = `Nats of the lead; orange speaks for the answer, blue for the rival, each column in its own scale; ⟷: where the first and the last part most. ${mattered.closes}`;
      paint(mattered, names, query);
    },
  };
}
