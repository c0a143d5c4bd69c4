// @ts-check
// The same text in many languages: how it is cut, and what it costs in each.
import { direction, make, pushButton, set } from "../lib/dom.js";
import { fixed } from "../lib/numbers.js";

const COLUMNS = [
  ["tokens", "tokens", "how many the text is cut into", 0],
  ["per_word", "per word", "tokens per word; – where a script sets no spaces between words", 2],
  ["per_character", "per character", "tokens per character", 2],
  ["per_byte", "per byte", "tokens per byte of UTF-8", 3],
  ["bits", "bits per byte", "how surprised the model is, for each byte of the text after its first token; fewer: it knows this better", 2],
];
const BARS = ["per_byte", "bits"];

/**
 * @param {{open: (state: "open" | "closed" | "stopped") => void, read: (text: string) => void}} listeners
 */
export function languageTable({ open, read }) {
  const run = pushButton("measure", { "data-part": "compare-run" }, () => open("open"));
  const stop = pushButton("cancel", { "data-part": "compare-stop" }, () => open("stopped"));
  const progress = make("progress", { class: "bl-progress", max: 1, value: 0, "aria-label": "texts read", "data-part": "compare-progress" });
  const says = make("p", { class: "bl-note", role: "status", "aria-live": "polite", dir: "auto", "data-part": "compare-says" });
  const body = make("tbody");
  const stamp = make("p", { class: "bl-stamp", "data-part": "compare-stamp" });
  const table = make(
    "table",
    { class: "bl-languages", "data-part": "languages" },
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        make("th", { scope: "col" }, "language"),
        ...COLUMNS.map(([, word, plain]) => make("th", { scope: "col", class: "bl-value", title: String(plain) }, String(word))),
      ),
    ),
    body,
  );
  const summary = make(
    "summary",
    { "data-lm-suppress-shortcuts": "true" },
    "what it costs in other languages ",
    make("span", { class: "bl-how" }, "tokens per word, character and byte · bits per byte"),
  );
  const element = make(
    "details",
    { class: "bl-details", "data-part": "compare" },
    summary,
    make("div", { class: "bl-row" }, run, stop, progress),
    says,
    make("div", { class: "bl-wide-table", tabindex: 0, role: "group", "aria-label": "costs by language", "data-lm-suppress-shortcuts": "true" }, table),
    stamp,
  );
  let shown = ""; // the texts that have a row
  let lines = /** @type {Record<string, any>[]} */ ([]);
  summary.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    event.preventDefault(); // it opens when the view has heard of it
    open(element.open ? "closed" : "open");
  });

  /** @param {any} row */
  function line({ name, text, chips }) {
    const numbers = Object.fromEntries(
      COLUMNS.map(([column]) => [
        column,
        { number: make("span", { "data-cost": column }), bar: make("span", { class: "bl-cost-bar", "aria-hidden": "true" }) },
      ]),
    );
    const pieces = chips.map((/** @type {[string, number]} */ [text, parts]) =>
      make("span", { class: "bl-cut", title: parts === 1 ? "1 token" : `${parts} tokens`, "data-parts": parts }, text),
    );
    const button = pushButton(name, { dir: "auto", title: "read this text above" }, () => read(text));
    const cells = COLUMNS.map(([column]) =>
      make("td", { class: "bl-value" }, numbers[column].number, ...(BARS.includes(String(column)) ? [numbers[column].bar] : [])),
    );
    return {
      numbers,
      button,
      element: make("tr", { "data-language": name }, make("th", { scope: "row" }, button, make("p", { class: "bl-sentence", dir: direction(text) }, ...pieces)), ...cells),
    };
  }

  return {
    element,

    /** @param {any} comparison @param {boolean} live @param {string} state of the trait `comparing` */
    show(comparison, live, state) {
      const { rows, done } = comparison;
      const now = comparison.state === "running" && !live ? "stopped" : comparison.state; // nobody reads on
      const running = now === "running";
      element.open = state !== "closed";
      set(element, { "data-state": now, "data-rows": rows.length, "data-done": done });
      run.hidden = running || now === "done" || !live;
      stop.hidden = progress.hidden = !running;
      stamp.textContent = comparison.stamp && `bits measured with ${comparison.stamp}`;
      progress.value = rows.length ? done / rows.length : 0;
      says.textContent = {
        idle: live ? "" : "comparing needs the model, and here is none; open this before you save a page",
        running: `the tokenizer has cut all ${rows.length} texts; the model has read ${done} of them. ${comparison.note}`,
        done: `${finding(rows)} ${comparison.note}`,
        stopped: `stopped; what was finished stays. ${comparison.note}`,
        error: comparison.message,
      }[/** @type {"idle"} */ (now)];
      const texts = JSON.stringify(rows.map((/** @type {any} */ row) => [row.name, row.text]));
      if (texts !== shown) {
        shown = texts;
        lines = rows.map(line);
        body.replaceChildren(...lines.map((each) => each.element));
      }
      const most = Object.fromEntries(BARS.map((column) => [column, Math.max(...rows.map((/** @type {any} */ row) => row[column] ?? 0))]));
      rows.forEach((/** @type {any} */ row, /** @type {number} */ i) => {
        lines[i].button.disabled = !live;
        for (const [column, , , digits] of COLUMNS) {
          const { number, bar } = lines[i].numbers[column];
          const value = row[column];
          number.textContent = value === null ? (column === "bits" && running ? "…" : "–") : fixed(value, Number(digits));
          bar.style.setProperty("--bl-part", String(value === null ? 0 : value / most[column]));
        }
      });
    },
  };
}

/** Which language needs most and fewest tokens a byte, and which text surprised the model least. @param {any[]} rows */
function finding(rows) {
  if (rows.length < 2) return "";
  const by = (/** @type {string} */ column) => rows.filter((row) => row[column] !== null).sort((a, b) => a[column] - b[column]);
  const [words, bits] = [by("per_word"), by("bits")];
  const parts = [];
  if (words.length > 1) {
    const [least, most] = [words[0], words[words.length - 1]];
    parts.push(`Tokens per word: from ${fixed(least.per_word, 2)} (${least.name}) to ${fixed(most.per_word, 2)} (${most.name}).`);
  }
  if (bits.length > 1) {
    const [least, most] = [bits[0], bits[bits.length - 1]];
    parts.push(`Bits per byte: from ${fixed(least.bits, 2)} (${least.name}) to ${fixed(most.bits, 2)} (${most.name}).`);
  }
  return parts.join(" ");
}
