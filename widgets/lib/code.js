// @ts-check
// The Python behind a view, folded away, with a button that copies it.
import { make, pushButton } from "./dom.js";

/** A block of code. */
export function codeBlock() {
  const code = make("pre", {
    class: "bl-code",
    dir: "ltr",
    tabindex: 0,
    "aria-label": "Python",
    "data-lm-suppress-shortcuts": "true",
    "data-part": "code",
  });
  const copy = pushButton("copy", { "data-part": "copy" }, copyCode);
  const summary = make("summary", { "data-lm-suppress-shortcuts": "true" }, "code ", make("span", { class: "bl-how" }, "the Python behind this cell"));
  const element = make("details", { class: "bl-details" }, summary, copy, code);

  async function copyCode() {
    getSelection()?.selectAllChildren(code); // where copying is not allowed, one key is enough
    try {
      await navigator.clipboard.writeText(code.textContent);
      copy.textContent = "copied";
    } catch {
      copy.textContent = document.execCommand("copy") ? "copied" : "selected: press Ctrl+C";
    }
  }

  return {
    element,

    /** @param {string} python */
    show(python) {
      if (code.textContent === python) return;
      code.textContent = python;
      copy.textContent = "copy";
    },
  };
}

/**
 * A text as a Python literal; what ends a line or cannot be seen is escaped, as views/shared/code.py does it.
 * @param {string} text
 */
export function inPython(text) {
  const unseen = /[\x7f-\xa0\xad\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]/g;
  return JSON.stringify(text).replace(unseen, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
