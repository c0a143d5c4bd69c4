// @ts-check
// A long job of a panel, in a box that opens: opening asks for it; how far it is, a button to stop it, what it found.
//
// What tests can rely on, for a job whose part is PART:
//   [data-part="PART"]                     data-state = idle | running | done | stopped | error
//   [data-part="PART-run" | "PART-stop" | "PART-progress" | "PART-says"]
//   input[name$="over"][value="this text | texts"]   in which texts: lib's overTexts
import { isolated, make, pushButton, set } from "./dom.js";
import { toggles } from "./toggles.js";

const OVER = [
  ["this text", "this text", ""],
  ["texts", "many texts", "mean and spread over other texts like this one, of as many tokens"],
];

/**
 * @param {import("./frame.js").Stage} stage
 * @param {{part: string, opens: string, start: string, title: string, how: string, looks: string, says: string, counts: string}} options
 *   `opens`: the setting that opens it, with `start` to begin, "stopped" and "closed"; `looks` and `says`: classes;
 *   `counts`: what its progress counts
 */
export function jobBox(stage, { part, opens, start, title, how, looks, says: saysLook, counts }) {
  const run = pushButton("measure", { "data-part": `${part}-run` }, () => stage.choose({ [opens]: start }));
  const stop = pushButton("cancel", { "data-part": `${part}-stop` }, () => stage.choose({ [opens]: "stopped" }));
  const progress = make("progress", { class: "bl-progress", max: 1, value: 0, "aria-label": counts, "data-part": `${part}-progress` });
  const says = make("p", { class: saysLook, role: "status", "aria-live": "polite", dir: "auto", "data-part": `${part}-says` });
  const summary = make("summary", { "data-lm-suppress-shortcuts": "true" }, `${title} `, make("span", { class: "bl-how" }, how));
  const element = make("details", { class: looks, "data-part": part }, summary);
  summary.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    event.preventDefault(); // it opens when the view has heard of it
    if (stage.get("live")) stage.choose({ [opens]: element.open ? "closed" : start });
    else {
      element.open = !element.open; // a saved page keeps what it has,
      stage.drawNow(); // and draws it when it is seen
    }
  });

  return {
    element,
    summary,
    run,
    stop,
    progress,
    says,

    /**
     * How it is going.
     * @param {{state: string, done: number, total: number, says: string, message: string}} piece
     * @param {{begun: string, so: (piece: any) => string, idle: string}} words while nothing is counted yet, while something
     *   is, and in a page without a kernel
     */
    show(piece, { begun, so, idle }) {
      const live = Boolean(stage.get("live"));
      const state = piece.state === "running" && !live ? "stopped" : piece.state; // nobody measures on
      const running = state === "running";
      if (live) element.open = stage.get(opens) !== "closed";
      set(element, { "data-state": state });
      run.hidden = running || state === "done" || !live;
      stop.hidden = progress.hidden = !running;
      progress.value = piece.total ? piece.done / piece.total : 0;
      says.textContent = {
        idle: live ? "" : idle,
        running: piece.total ? so(piece) : begun,
        done: piece.says,
        stopped: `stopped; what was finished stays. ${piece.says}`,
        error: piece.message,
      }[/** @type {"idle"} */ (state)];
      set(says, { "data-trouble": state === "error" });
      return { live, state, running };
    },
  };
}

/**
 * The switch of the numbers: of this text, or mean and spread over many.
 * @param {import("./frame.js").Stage} stage @param {string} trait
 */
export function overTexts(stage, trait) {
  const over = toggles({ id: `${stage.id}-${trait.replace("_", "-")}`, says: "in which texts", choices: OVER, choose: (value) => stage.choose({ [trait]: value }) });
  return {
    element: over.element,

    /** @param {boolean} possible */
    show(possible) {
      over.mark(stage.get(trait));
      over.enable(possible);
    },
  };
}

/**
 * A box to type a token, or another text, into; what is left empty stands in it in grey.
 * @param {import("./frame.js").Stage} stage
 * @param {{part: string, word: string, trait: string, looks?: string, also?: Record<string, any>}} options
 *   `also`: what else is set along with it
 */
export function typedBox(stage, { part, word, trait, looks = "bl-typed", also = {} }) {
  const list = make("datalist", { id: `${stage.id}-${part}-list` });
  const input = make("input", { class: looks, type: "text", dir: "auto", id: `${stage.id}-${part}`, list: list.id, spellcheck: "false", autocomplete: "off", "data-lm-suppress-shortcuts": "true", "data-part": part });
  const send = () => {
    const whole = input.value.isWellFormed?.() ?? true; // Python's side could not even write half a character down
    if (whole && input.value !== stage.get(trait)) stage.choose({ ...also, [trait]: input.value });
  };
  input.addEventListener("change", send);
  input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    event.stopPropagation(); // the notebook's shortcuts are not meant
    if (event.key === "Enter" && !event.isComposing) send();
  });
  let offered = "";
  return {
    input,
    element: make("label", { class: "bl-typed-label", for: input.id }, `${word} `, input, list),

    /** @param {boolean} live @param {string} found what is meant where it is empty @param {string[]} [offers] what may be meant */
    show(live, found, offers = []) {
      input.readOnly = !live;
      set(input, { placeholder: found ? isolated(found) : "" });
      if (document.activeElement !== input) input.value = stage.get(trait);
      const now = JSON.stringify(offers);
      if (now === offered) return;
      offered = now;
      list.replaceChildren(...offers.map((value) => make("option", { value })));
    },
  };
}
