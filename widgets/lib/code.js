// @ts-check
// The Python behind a view, folded away, with a button that copies it.
import { make } from "./dom.js";

/** A block of code. */
export function codeBlock() {
  const code = make("pre", { class: "bl-code", dir: "ltr", tabindex: 0, "aria-label": "Python", "data-part": "code" });
  const copy = make("button", { class: "bl-button", type: "button", "data-part": "copy" }, "copy");
  const summary = make("summary", { "data-lm-suppress-shortcuts": "true" }, "code ", make("span", { class: "bl-how" }, "the Python behind this cell"));
  const element = make("details", { class: "bl-details" }, summary, copy, code);

  copy.addEventListener("click", async () => {
    getSelection()?.selectAllChildren(code); // where copying is not allowed, one key is enough
    try {
      await navigator.clipboard.writeText(code.textContent);
      copy.textContent = "copied";
    } catch {
      copy.textContent = document.execCommand("copy") ? "copied" : "selected: press Ctrl+C";
    }
  });

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
