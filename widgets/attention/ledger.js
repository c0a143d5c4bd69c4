// @ts-check
// The score ledger: the sum behind one cell, line by line, in plain words with the term beside.
import { make, quoted, set } from "../lib/dom.js";
import { fixed, probability, scientific, signed, slopeName } from "../lib/numbers.js";

const LINES = [
  ["content", "content", "how well the key fits"],
  ["position", "position", "how far back it is"],
  ["total", "sum", "content + position"],
  ["normaliser", "row total", "what all visible keys add up to"],
  ["probability", "probability", "this key's share"],
];

/** The panel with the ledger of one cell. */
export function scoreLedger() {
  const title = make("h3", { class: "bl-title", "data-part": "ledger-title" });
  const cells = Object.fromEntries(
    LINES.map(([name]) => [
      name,
      {
        how: make("span", { class: "bl-how" }),
        bar: make("span", { class: "bl-signed-bar", "aria-hidden": "true" }, make("span")),
        number: make("td", { class: "bl-value", "data-ledger": name }),
      },
    ]),
  );
  const body = LINES.map(([name, word, plain]) =>
    make(
      "tr",
      { class: `bl-line bl-line-${name}`, title: plain },
      make("th", { scope: "row" }, word, cells[name].how),
      make("td", { class: "bl-bar-box" }, cells[name].bar),
      cells[name].number,
    ),
  );
  const check = make("p", { class: "bl-note", "data-part": "check" });
  const trained = make("p", { class: "bl-note" });
  const table = make("table", { class: "bl-ledger" }, make("tbody", {}, ...body));
  const element = make("section", { class: "bl-panel bl-panel-ledger", "aria-label": "score ledger", "data-part": "ledger" }, title, table, check, trained);

  return {
    element,

    /**
     * @param {string[]} names
     * @param {import("../lib/causal.js").Cell} cell
     * @param {number} slope
     * @param {import("../lib/causal.js").Ledger | null} ledger null while exact values are on their way
     * @param {number} rough the probability as the thumbnail knows it
     * @param {boolean} live whether there is a kernel to ask
     * @param {string} [where] which head this is of, if another picture stands beside it
     */
    show(names, { query, key }, slope, ledger, rough, live, where = "") {
      const distance = query - key;
      title.replaceChildren(quoted(names[query]), " looks at ", distance === 0 ? "itself" : quoted(names[key]), make("span", { class: "bl-how" }, where && ` ${where}`));
      set(element, { "data-query": query, "data-key": key, "data-exact": String(ledger !== null) });
      cells.content.how.textContent = "q·k/√d";
      cells.position.how.textContent = `slope ${slopeName(slope)} × distance ${distance}`;
      cells.total.how.textContent = "content + position";
      cells.normaliser.how.textContent = `log Σ eˢᵘᵐ, ${query + 1} ${query === 0 ? "key" : "keys"}`;
      cells.probability.how.textContent = ledger ? `e^(${fixed(ledger.total, 2)} − ${fixed(ledger.normaliser, 2).replace(/^−(.*)$/, "(−$1)")})` : "from the thumbnail";
      const widest = ledger ? Math.max(1, ...[ledger.content, ledger.position, ledger.total, ledger.normaliser].map(Math.abs)) : 1;
      for (const name of ["content", "position", "total", "normaliser"]) {
        const value = ledger ? ledger[/** @type {"content"} */ (name)] : 0;
        const shown = name === "content" || name === "position" ? signed(value) : fixed(value);
        cells[name].number.textContent = ledger ? shown : live ? "…" : "–";
        cells[name].bar.style.setProperty("--bl-part", String(value / widest));
        set(cells[name].bar, { "data-sign": value < 0 ? "negative" : "positive" });
      }
      cells.probability.number.textContent = ledger ? probability(ledger.probability) : `≈ ${probability(rough)}`;
      cells.probability.bar.style.setProperty("--bl-part", String(ledger ? ledger.probability : rough));
      set(check, { "data-waits": !ledger && live });
      if (!ledger) {
        check.textContent = live ? "fetching the exact values …" : "exact values of this head are not in the page";
        trained.textContent = "";
        return;
      }
      const error = Math.abs(ledger.probability - ledger.captured);
      set(element, { "data-error": error.toExponential(2), "data-probability": ledger.captured });
      check.textContent = `the model used ${ledger.captured.toFixed(6)}; the parts sum to it within ${scientific(error)}`;
      trained.textContent = `as trained: slope × key ${key} = ${signed(slope * key)}; the row's softmax cannot tell the two apart`;
    },
  };
}
