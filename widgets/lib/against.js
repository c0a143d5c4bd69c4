// @ts-check
// Another text to compare with: a button beside the text, and under it a line to write the other one in.
//
// What tests can rely on:
//   [data-part="against"]                   the button; aria-expanded
//   [data-part="against-text"]              the other text; Enter compares
//   [data-part="against-end"]               compares no longer
import { make, pushButton, set } from "./dom.js";

/**
 * @param {{id: string, get: (trait: string) => any, ask: (wish: Record<string, any>) => void, first: () => string}} options
 *   `first` is the text that is read: what the other begins as
 */
export function againstBox({ id, get, ask, first }) {
  let open = false;
  let asked = ""; // what was sent last
  let ended = false; // by the button that then goes away
  const button = pushButton("compare", { class: "bl-button bl-plain", "data-part": "against", "aria-controls": `${id}-line`, title: "with another text: both are read, and each tab shows either, or the difference" }, () => {
    open = !open;
    draw();
    if (!open) return;
    if (!text.value) text.value = first();
    text.focus();
    text.select();
  });
  const text = make("input", { class: "bl-text", type: "text", id: `${id}-text`, dir: "auto", spellcheck: "false", autocomplete: "off", "data-lm-suppress-shortcuts": "true", "data-part": "against-text" });
  const send = () => {
    asked = text.value;
    if (asked) ask({ do: "against", text: asked });
  };
  text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    event.stopPropagation(); // the notebook's shortcuts are not meant
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    send();
  });
  const end = pushButton("×", { class: "bl-button bl-plain", "aria-label": "compare no longer", "data-part": "against-end" }, () => {
    open = false;
    ended = true;
    ask({ do: "against", text: "" });
  });
  const line = make("div", { class: "bl-against", id: `${id}-line` }, make("label", { class: "bl-how", for: `${id}-text` }, "compared with"), text, pushButton("compare", { "data-part": "against-send" }, send), end);

  function draw() {
    const compared = get("compared") ?? "";
    const possible = Boolean(get("live") && (get("editable") || compared) && !(get("changes") ?? []).length);
    const shown = (open || compared !== "") && (possible || compared !== "");
    button.hidden = !possible || compared !== "";
    line.hidden = !shown;
    set(button, { "aria-expanded": String(shown) });
    if (compared && compared !== asked && document.activeElement !== text) text.value = asked = compared;
    end.hidden = compared === "";
    if (ended && !button.hidden) {
      ended = false;
      button.focus();
    }
    for (const control of [text, ...line.querySelectorAll("button")]) control.disabled = !get("live");
  }

  return { button, line, draw };
}
