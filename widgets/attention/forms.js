// @ts-check
// Why slope × key, which BLOOM was trained with, is slope × distance, which the paper has: one row with both, in numbers.
import { make, quoted, set } from "../lib/dom.js";
import { fixed, probability, scientific, signed, slopeName } from "../lib/numbers.js";
import { bothForms } from "./patterns.js";

const MOST = 6; // keys in the table; the check is over all of them

/** A folded table about the row of one query. */
export function alibiForms() {
  const says = make("p", { class: "bl-note" });
  const rows = make("tbody");
  const heads = ["key", "trained: slope × key", "paper: slope × distance", "they differ by", "softmax, trained", "softmax, paper"];
  const table = make(
    "table",
    { class: "bl-forms-table" },
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    rows,
  );
  const check = make("p", { class: "bl-note", "data-part": "forms-check" });
  const summary = make("summary", { "data-lm-suppress-shortcuts": "true" }, "slope × key or slope × distance?");
  const element = make(
    "details",
    { class: "bl-forms", "data-part": "forms" },
    summary,
    says,
    make("div", { class: "bl-scroll", tabindex: 0, role: "region", "aria-label": "both forms of ALiBi", "data-lm-suppress-shortcuts": "true" }, table),
    check,
  );

  let last = () => {};
  let shown = /** @type {unknown[]} */ ([]);
  element.addEventListener("toggle", () => last());

  return {
    element,

    /**
     * @param {string[]} names
     * @param {import("../lib/causal.js").Cell} cell
     * @param {number} slope
     * @param {import("../lib/causal.js").HeadValues | null} values null while exact values are on their way
     * @param {string} source differs when the values do
     */
    show(names, { query, key }, slope, values, source) {
      last = () => {
        const now = [element.open, values !== null, query, key, source];
        if (now.every((part, i) => part === shown[i]) || !element.open || !values) return;
        shown = now;
        const forms = bothForms(values.scores, slope, query);
        const first = Math.max(0, Math.min(key - MOST + 2, query - MOST + 1));
        says.replaceChildren(
          `As trained, a key's bias grows with its place: slope ${slopeName(slope)} × key. In the paper it falls with the distance to `,
          quoted(names[query]),
          `, token ${query}. For every key of this row the two differ by the same ${fixed(slope * query)} = slope × ${query}, ` +
            "and a softmax does not see what it adds to all.",
        );
        rows.replaceChildren(
          ...Array.from({ length: query + 1 - first }, (_, i) => first + i)
            .slice(0, MOST)
            .map((k) =>
              make(
                "tr",
                { "data-key": k, "data-picked": k === key },
                make("th", { scope: "row" }, `${k} `, quoted(names[k])),
                ...[
                  signed(forms.trained[k]),
                  signed(forms.paper[k]),
                  fixed(forms.trained[k] - forms.paper[k]),
                  probability(forms.probs.trained[k]),
                  probability(forms.probs.paper[k]),
                ].map((text) => make("td", {}, text)),
              ),
            ),
        );
        set(element, { "data-error": forms.error.toExponential(2) });
        const many = query === 0 ? "the one key" : `all ${query + 1} keys`;
        check.textContent = `over ${many} of this row the two softmaxes are ${forms.error ? `the same within ${scientific(forms.error)}` : "exactly the same"}`;
      };
      last();
    },
  };
}
