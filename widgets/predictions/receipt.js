// @ts-check
// Which part wrote the next token: a difference of two logits as a sum, a line for each part of the model. Its bars begin
// at zero: the upper one is what the part adds by itself, the lower one what is lost without it.
//   [data-part="receipt"]                  data-state = idle | running | done | stopped | error; data-at: after which token
//   [data-part="receipt-token" | "receipt-versus"]   boxes: the token, and what it is measured by
//   input[name][value="token | mean | nothing"], [value="drawn | zero"]   measured by; what stands in a part's place
//   [data-part="receipt-total" | "receipt-stop" | "receipt-progress" | "receipt-says" | "receipt-closes"]
//   [data-part="receipt-lines"] tr[data-name]        data-direct, data-total: in nats; in it [data-silence]
import { isolated, make, pushButton, set } from "../lib/dom.js";
import { signed } from "../lib/numbers.js";
import { toggles } from "../lib/toggles.js";

const BY = [
  ["token", "another token", "the runner-up, or the one that is named"],
  ["mean", "the mean of all", "of all tokens of the vocabulary"],
  ["nothing", "nothing", "the logit alone: softmax does not see what all tokens get"],
];
const INSTEAD = [
  ["drawn", "drawn from like texts", "what another text of this kind has there"],
  ["zero", "zeros", "which no text has there"],
];

/** @param {import("../lib/frame.js").Stage} stage */
export function receiptOf(stage) {
  const summary = make("summary", { "data-lm-suppress-shortcuts": "true" }, "which part wrote the next token? ", make("span", { class: "bl-how" }, "the receipt: a difference of two logits, a line for each part"));
  const token = box("receipt-token", "token", "receipt_token");
  const versus = box("receipt-versus", "against", "receipt_versus");
  const by = toggles({ id: `${stage.id}-receipt-by`, says: "what it is measured by", choices: BY, choose: (receipt_by) => stage.choose({ receipt_by }) });
  const instead = toggles({ id: `${stage.id}-receipt-instead`, says: "what stands in a part's place", choices: INSTEAD, choose: (receipt_instead) => stage.choose({ receipt_instead }) });
  const measure = pushButton("what is lost without each part?", { "data-part": "receipt-total" }, () => stage.choose({ explaining: "total" }));
  const again = pushButton("measure", { "data-part": "receipt-again" }, () => stage.choose({ explaining: "direct" }));
  const stop = pushButton("cancel", { "data-part": "receipt-stop" }, () => stage.choose({ explaining: "stopped" }));
  const progress = make("progress", { class: "bl-progress", max: 1, value: 0, "aria-label": "parts replaced", "data-part": "receipt-progress" });
  const says = make("p", { class: "bl-said-text", role: "status", "aria-live": "polite", dir: "auto", "data-part": "receipt-says" });
  const closes = make("p", { class: "bl-note", "data-part": "receipt-closes" });
  const head = make("tr");
  const body = make("tbody");
  const table = make("table", { class: "bl-receipt", "data-part": "receipt-lines" }, make("thead", {}, head), body);
  const wide = make("div", { class: "bl-receipt-wide", tabindex: 0, role: "group", "aria-label": "the lines of the receipt", "data-lm-suppress-shortcuts": "true" }, table);
  const element = make(
    "details",
    { class: "bl-panel bl-receipt-panel", "data-part": "receipt" },
    summary,
    make("div", { class: "bl-row bl-receipt-asks" }, token.element, versus.element, by.element),
    make("div", { class: "bl-row bl-receipt-asks" }, again, measure, stop, progress, make("span", { class: "bl-how" }, "in its place"), instead.element),
    says,
    wide,
    closes,
  );
  summary.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    event.preventDefault(); // it opens when the view has heard of it
    if (stage.get("live")) stage.choose({ explaining: element.open ? "closed" : "direct" });
    else element.open = !element.open; // a saved page keeps what it has
  });

  /** @param {string} part @param {string} word @param {string} trait */
  function box(part, word, trait) {
    const input = make("input", { class: "bl-receipt-box", type: "text", dir: "auto", id: `${stage.id}-${part}`, spellcheck: "false", autocomplete: "off", "data-lm-suppress-shortcuts": "true", "data-part": part });
    const send = () => {
      const whole = input.value.isWellFormed?.() ?? true; // Python's side could not even write half a character down
      if (whole && input.value !== stage.get(trait)) stage.choose({ [trait]: input.value, receipt_rival: -1 });
    };
    input.addEventListener("change", send);
    input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      event.stopPropagation(); // the notebook's shortcuts are not meant
      if (event.key === "Enter" && !event.isComposing) send();
    });
    return { input, element: make("label", { class: "bl-receipt-label", for: input.id }, `${word} `, input) };
  }

  /** @param {number} value @param {number} most @param {string} kind */
  function bar(value, most, kind) {
    const element = make("span", { class: "bl-change-bar", "data-kind": kind, "data-sign": value < 0 ? "negative" : "positive" }, make("span"));
    element.style.setProperty("--bl-part", (Math.abs(value) / most).toFixed(4));
    return element;
  }

  /** @param {number | null} value */
  const cell = (value, kind = "") => make("td", { class: "bl-value", ...(kind ? { "data-kind": kind } : {}), ...(value === null ? {} : { title: `${signed(value, 6)} nats` }) }, value === null ? "–" : signed(value, 2));

  /** @param {any} line @param {{most: number, totals: boolean, can: boolean, kind: string}} how */
  function row({ name, direct, total, words, spot, axes }, { most, totals, can, kind }) {
    const bars = make("td", { class: "bl-receipt-bars", "aria-hidden": "true" }, bar(direct, most, "direct"), ...(totals && total !== null ? [bar(total, most, "total")] : []));
    const heard = `${name}: adds ${signed(direct, 2)} nats${total === null ? "" : `, without it ${signed(total, 2)} are lost`}`;
    const silence = pushButton(kind === "drawn" ? "replace" : "silence", { class: "bl-button bl-plain", "data-silence": name, "aria-label": `${kind === "drawn" ? "replace" : "silence"} ${heard}`, title: kind === "drawn" ? "put what another text has there in its place, as an edit" : "put zeros in its place, as an edit" }, () =>
      stage.wish({ do: "add", edit: { spot, kind, axes } }),
    );
    return make(
      "tr",
      { "data-name": name, "data-direct": direct, ...(total === null ? {} : { "data-total": total }) },
      make("th", { scope: "row" }, name, ...(words ? [make("span", { class: "bl-how" }, words)] : [])),
      bars,
      cell(direct, "direct"),
      ...(totals ? [cell(total, "total")] : []),
      make("td", { class: "bl-receipt-do" }, ...(can && spot ? [silence] : [])),
    );
  }

  let painted = "";
  /** @param {any} receipt */
  function paint(receipt) {
    const { lines, rest, difference, kind, state } = receipt;
    const can = Boolean(stage.get("live") && stage.get("editable")) && state !== "running";
    const now = JSON.stringify([lines, rest, difference, can]);
    if (now === painted) return;
    painted = now;
    const totals = lines.some((/** @type {any} */ line) => line.total !== null);
    const most = Math.max(...lines.flatMap((/** @type {any} */ line) => [Math.abs(line.direct), Math.abs(line.total ?? 0)]), Math.abs(difference), 1e-12);
    head.replaceChildren(
      ...[["part", ""], [totals ? "▬ direct  ▭ total" : "", "bl-how"], ["direct", "bl-value"], ...(totals ? [["total", "bl-value"]] : []), ["", ""]].map(([word, kind]) =>
        word ? make("th", { scope: "col", class: kind }, word) : make("td"),
      ),
    );
    const end = (/** @type {string} */ name, /** @type {number} */ value, /** @type {boolean} */ sum) =>
      make("tr", { "data-name": name, "data-direct": value, "data-sum": sum }, make("th", { scope: "row" }, name), make("td", { class: "bl-receipt-bars", "aria-hidden": "true" }, bar(value, most, "direct")), cell(value, "direct"), ...(totals ? [make("td")] : []), make("td"));
    body.replaceChildren(
      ...lines.map((/** @type {any} */ line) => row(line, { most, totals, can, kind })),
      ...(rest[0] ? [end(`${rest[0]} smaller parts`, rest[1], false)] : []),
      end("the difference", difference, true),
    );
  }

  return {
    element,

    /** Open it, of the likeliest token against another, by its id; −1 is the runner-up. @param {number} rival */
    explain(rival) {
      const more = /** @type {HTMLElement | null} */ (stage.root.querySelector('[data-part="more"]'));
      if (more?.getAttribute("aria-pressed") === "false") more.click();
      stage.choose({ receipt_token: "", receipt_versus: "", receipt_rival: rival, receipt_by: "token", ...(["direct", "total"].includes(stage.get("explaining")) ? {} : { explaining: "direct" }) });
      element.scrollIntoView({ block: "nearest" });
      summary.focus({ preventScroll: true });
    },

    /** Draw what has been measured so far. */
    show() {
      const receipt = stage.get("receipt");
      const live = Boolean(stage.get("live"));
      const state = receipt.state === "running" && !live ? "stopped" : receipt.state; // nobody measures on
      const running = state === "running";
      const there = receipt.lines.length > 0;
      const mode = stage.get("explaining");
      if (live) element.open = mode !== "closed";
      set(element, { "data-state": state, "data-at": receipt.at, "data-mode": receipt.mode });
      for (const [{ input }, trait, word] of /** @type {const} */ ([[token, "receipt_token", receipt.token], [versus, "receipt_versus", receipt.versus]])) {
        input.readOnly = !live;
        set(input, { placeholder: word ? isolated(word) : "" });
        if (document.activeElement !== input) input.value = stage.get(trait); // a token that was clicked stands there in grey
      }
      versus.element.hidden = stage.get("receipt_by") !== "token";
      by.mark(stage.get("receipt_by"));
      by.enable(live);
      instead.mark(stage.get("receipt_instead"));
      instead.enable(live);
      again.hidden = !live || mode !== "stopped" || running;
      measure.hidden = !live || running || mode === "total";
      measure.disabled = !there;
      stop.hidden = progress.hidden = !running;
      progress.value = receipt.total ? receipt.done / receipt.total : 0;
      says.textContent = {
        idle: live ? "" : "a receipt needs the model, and here is none; open this before you save a page",
        running: receipt.total ? `${receipt.done} of ${receipt.total} parts replaced. ${receipt.says}` : "measuring …",
        done: receipt.says,
        stopped: `stopped; what was finished stays. ${receipt.says}`,
        error: receipt.message,
      }[/** @type {"idle"} */ (state)];
      set(says, { "data-trouble": state === "error" });
      wide.hidden = closes.hidden = !there;
      if (!there) return;
      closes.textContent = `${receipt.closes}. direct: what the part adds, the last norm held at its size${receipt.mode === "total" ? `; total: what is lost with ${receipt.instead} in its place, and all after it computed anew` : ""}. In nats.`;
      paint(receipt);
    },
  };
}
