// @ts-check
// Which text of a trace of several is shown: a list to choose from, where there is one.
import { make, set } from "./dom.js";

/** @param {{get: (trait: string) => any, choose: (places: Record<string, any>) => void}} view */
export function rowChooser({ get, choose }) {
  const element = make("select", { class: "bl-select", hidden: true, dir: "auto", "aria-label": "which text of this trace", title: "the texts of this trace", "data-lm-suppress-shortcuts": "true", "data-part": "row" });
  let told = /** @type {unknown} */ (undefined);
  element.addEventListener("change", () => choose({ trace_row: element.selectedIndex }));
  return {
    element,
    draw() {
      const rows = /** @type {string[]} */ (get("trace_rows") ?? []);
      if (rows !== told) element.replaceChildren(...rows.map((text, row) => make("option", { value: row }, `${row + 1} of ${rows.length}: ${text}`)));
      told = rows;
      element.hidden = rows.length === 0;
      set(element, { disabled: !get("live") });
      element.selectedIndex = get("trace_row") ?? 0;
    },
  };
}
