// @ts-check
// The text box on top, and the line under it that says what is going on: the four states of a view in words.
import { lastOf, make, pushButton, set } from "./dom.js";

const TYPING_PAUSE = 250; // milliseconds without a key before the text is sent
const MOST_LINES = 6;
const AFTER_A_CLICK = 50; // milliseconds, so that the click is where the pointer was

/**
 * @param {{id: string, send: (text: string, problem: string) => void, cancel: () => void}} listeners
 *   `send` is called when typing pauses, with what is wrong with the text, if anything is
 */
export function textBox({ id, send, cancel }) {
  const text = make("textarea", {
    class: "bl-text",
    id: `${id}-text`,
    rows: 1,
    dir: "auto",
    spellcheck: "false",
    autocomplete: "off",
    "data-lm-suppress-shortcuts": "true",
    "data-part": "text",
    "aria-describedby": `${id}-says`,
  });
  const says = make("span", { id: `${id}-says`, role: "status", dir: "auto", "data-part": "says" });
  const stop = pushButton("cancel", { "data-part": "cancel" }, cancel);
  const name = make("label", { class: "bl-hidden", for: `${id}-text` }, "text, what BLOOM reads");
  const element = make("div", { class: "bl-textbox" }, name, text, make("div", { class: "bl-says" }, says, stop));
  let typing = false; // what stands here has not been sent yet

  const sendNow = () => {
    sendSoon.cancel();
    typing = false;
    const whole = text.value.isWellFormed?.() ?? true; // Python's side could not even write half a character down
    send(text.value, whole ? "" : "the text has half of a character in it (a lone surrogate); delete it and type it again");
  };
  const sendSoon = lastOf(TYPING_PAUSE, sendNow);

  /** One line; while somebody is in it, as tall as its text, in the room there is. */
  const grow = () => {
    const linesNow = () => {
      const { lineHeight, paddingTop, paddingBottom } = getComputedStyle(text);
      return Math.round((text.scrollHeight - parseFloat(paddingTop) - parseFloat(paddingBottom)) / parseFloat(lineHeight)) || 1;
    };
    const stays = held && element.hasAttribute("data-open");
    set(text, { rows: 1 });
    set(element, { "data-open": false }); // then it has less room
    const open = (document.activeElement === text || stays) && linesNow() > 1;
    set(element, { "data-open": open });
    if (open) set(text, { rows: Math.min(MOST_LINES, linesNow()) });
    else text.scrollTop = 0;
  };

  // What a pointer is pressed on must not move away under it, so the box shrinks when the pointer is up again.
  let held = false;
  const press = () => (held = true);
  const release = () => {
    held = false;
    setTimeout(grow, AFTER_A_CLICK);
  };
  addEventListener("pointerdown", press, true);
  addEventListener("pointerup", release, true);
  addEventListener("pointercancel", release, true);
  text.addEventListener("focus", grow);
  text.addEventListener("blur", grow);

  text.addEventListener("input", () => {
    typing = true;
    grow();
    sendSoon();
  });
  text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    event.stopPropagation(); // the notebook's shortcuts are not meant
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    sendNow();
  });

  return {
    element,
    close() {
      sendSoon.cancel();
      removeEventListener("pointerdown", press, true);
      removeEventListener("pointerup", release, true);
      removeEventListener("pointercancel", release, true);
    },
    fit: grow,

    /** How many characters a person would count. */
    length: () => [...text.value].length,

    /** @param {string} value the text that is shown now; it does not disturb somebody who is typing */
    show(value) {
      if (typing || text.value === value) return;
      text.value = value;
      grow();
    },

    /** @param {string} value as if somebody had typed it */
    write(value) {
      text.value = value;
      grow();
      sendNow();
    },

    /** @param {string} message @param {boolean} error @param {boolean} cancellable */
    say(message, error, cancellable) {
      if (says.textContent !== message) says.textContent = message;
      set(says, { role: error ? "alert" : "status" });
      stop.hidden = !cancellable;
    },

    /** @param {string} why nothing can be typed; "" if it can */
    freeze(why) {
      set(text, { readonly: why !== "", title: why || false });
    },
  };
}
