// @ts-check
// "change …": what can be changed in what is selected. Each choice is an edit, sent to Python as data.
//
// What tests can rely on: [data-part="change-menu"] summary; in it [data-edit="NAME"], a button for each choice
import { make, pushButton } from "./dom.js";

/**
 * @typedef {{spot: string, kind: string, axes: Record<string, number[]>, number?: number}} PageEdit
 * @param {import("./frame.js").Stage} stage
 */
export function changeMenu(stage) {
  const list = make("div", { class: "bl-change-list" });
  const summary = make("summary", { class: "bl-button", "data-lm-suppress-shortcuts": "true", title: "key e" }, "change …");
  const element = make("details", { class: "bl-change-menu", "data-part": "change-menu" }, summary, list);
  let shown = "";
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape" || !element.open) return;
    event.preventDefault();
    event.stopPropagation();
    element.open = false;
    summary.focus();
  });

  return {
    element,

    /** @param {{name: string, says: string, edit: PageEdit}[]} choices */
    show(choices) {
      element.hidden = !(stage.get("editable") && stage.get("live"));
      const now = JSON.stringify(choices);
      if (element.hidden || now === shown) return;
      shown = now;
      list.replaceChildren(
        ...choices.map(({ name, says, edit }) =>
          pushButton(says, { class: "bl-button bl-plain", "data-edit": name }, () => {
            element.open = false;
            summary.focus();
            stage.edit(edit);
          }),
        ),
      );
    },
  };
}
