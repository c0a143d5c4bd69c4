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
