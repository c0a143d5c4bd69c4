// @ts-check
// Two runs of one text: the switch between them and their difference, and the edits of the second as chips.
//
// What tests can rely on:
//   [data-part="runs"]                      hidden where there is one run
//   input[name][value="as it is | what if | difference"]   the switch; data-run of the root
//   [data-part="changes"] [data-change-number="N"]         an edit; aria-pressed: whether it is on
import { isolated, make, pushButton, set } from "./dom.js";
import { toggles } from "./toggles.js";

const RUNS = [
  ["as it is", "as it is", "the run that the other is measured by"],
  ["what if", "what if", "the run with the edits; or this text, where another is compared with"],
  ["difference", "difference", "what if − as it is"],
];
const TEXTS = ["the other text", "this text", "difference"]; // what they are where another text is compared with

/**
 * @param {{id: string, get: (trait: string) => any, choose: (places: Record<string, any>) => void}} options
 */
export function runSwitch({ id, get, choose }) {
  const choices = toggles({ id: `${id}-run`, says: "which run", choices: RUNS, choose: (run) => choose({ run }) });
  const changes = make("div", { class: "bl-changes", "data-part": "changes" });
  const ask = (/** @type {Record<string, any>} */ wish) => choose({ wished: { ...wish, number: (get("wished")?.number ?? 0) + 1 } });
  const back = pushButton("undo", { class: "bl-button bl-plain", "data-part": "undo" }, () => ask({ do: "undo" }));
  const again = pushButton("redo", { class: "bl-button bl-plain", "data-part": "redo" }, () => ask({ do: "redo" }));
  const clear = pushButton("clear", { class: "bl-button bl-plain", "data-part": "clear" }, () => ask({ do: "clear" }));
  const element = make("div", { class: "bl-runs", "data-part": "runs" }, changes, back, again, clear, choices.element);
  let words = "";
  let tried = false; // an edit has been made

  /** @param {number} number */
  function flip(number) {
    const off = get("off") ?? [];
    choose({ off: off.includes(number) ? off.filter((/** @type {number} */ one) => one !== number) : [...off, number] });
  }

  return {
    element,
    undo: () => ask({ do: "undo" }),
    redo: () => ask({ do: "redo" }),

    ask,

    /**
     * Other doses of edits, each in place of the one at the same spot; those of one gesture are one step back.
     * @param {import("./change.js").PageEdit[]} edits @param {number} gesture
     */
    put: (edits, gesture) => ask({ do: "set", edits, gesture }),

    draw() {
      const runs = get("runs") ?? [];
      const texts = get("changes") ?? [];
      element.hidden = runs.length === 0 && !tried;
      tried ||= texts.length > 0; // undo stays within reach
      const editable = Boolean(get("editable") && get("live"));
      for (const button of [back, again, clear]) button.hidden = !editable;
      clear.disabled = texts.length === 0;
      choices.element.hidden = runs.length === 0;
      if (words !== JSON.stringify(texts)) {
        words = JSON.stringify(texts);
        changes.replaceChildren(
          ...texts.map((/** @type {string} */ text, /** @type {number} */ number) => {
            const flips = pushButton("", { class: "bl-button bl-change", "data-change-number": number, title: "on or off" }, () => flip(number));
            flips.append(make("bdi", {}, text), make("span", { class: "bl-how" })); // it may name a text that is read from right to left
            const removes = pushButton("×", { class: "bl-button bl-plain", "aria-label": `take back: ${isolated(text)}`, "data-remove": number }, () => ask({ do: "remove", at: number }));
            return make("span", { class: "bl-change-chip" }, flips, removes);
          }),
        );
      }
      const off = get("off") ?? [];
      [...changes.children].forEach((chip, number) => {
        const [button, remove] = /** @type {any} */ (chip).children;
        const { doses, nothing } = get("worth") ?? {};
        const on = !off.includes(number);
        set(button, { "aria-pressed": String(on), title: [texts[number], ...(on && doses?.length ? doses : []), "press: on or off"].join(" · ") });
        button.lastChild.textContent = on && nothing ? " changed nothing" : "";
        button.disabled = !get("live");
        remove.hidden = !editable;
      });
      choices.rename(get("compared") ? TEXTS : RUNS.map(([, word]) => word));
      choices.mark(get("run"));
      const reached = !["gone", "silent"].includes(get("kernel")); // each run in a saved page; in a live one, Python makes it
      choices.enable(reached);
      for (const input of choices.element.querySelectorAll("input")) input.disabled = !reached || !runs.includes(input.value);
    },
  };
}
