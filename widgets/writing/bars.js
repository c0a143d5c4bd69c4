// @ts-check
// The next token: each likely one with its probability before and after the settings. A click takes it.
import { isolated, make, pushButton, quoted, set } from "../lib/dom.js";
import { fixed, probability } from "../lib/numbers.js";

/** @param {{take: (token: number) => void}} options */
export function nextBars({ take }) {
  const body = make("tbody", {});
  const drawn = make("th", { scope: "col", class: "bl-value", title: "an exponential number of mean 1; the largest probability / number is drawn" }, "number");
  const table = make(
    "table",
    { class: "bl-next", "data-part": "bars" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "next"), make("th", { scope: "col" }, make("span", { class: "bl-hidden" }, "bar")), make("th", { scope: "col", class: "bl-value" }, "model"), make("th", { scope: "col", class: "bl-value", title: "after the settings" }, "after"), drawn)),
    body,
  );
  const others = make("th", { scope: "col", class: "bl-value", title: "in the run as it is, after its own text" }, "as it is");
  table.querySelector("tr")?.insertBefore(others, drawn);
  let shown = /** @type {any[]} */ ([]);

  return {
    element: table,

    /** @param {any} bars @param {boolean} live @param {number[] | null} other what the run as it is gives the same tokens */
    show(bars, live, other) {
      if (shown[0] !== bars || shown[1] !== other) {
        shown = [bars, other];
        drawn.hidden = !bars.numbers;
        others.hidden = !other;
        const had = document.activeElement?.closest?.("[data-part=bars] [data-token]")?.getAttribute("data-token");
        body.replaceChildren(
          ...bars.ids.map((/** @type {number} */ id, /** @type {number} */ i) => {
            const [before, after] = [bars.before[i], bars.after[i]];
            const button = pushButton("", { class: "bl-button bl-plain bl-take", "data-token": id, "aria-label": `take ${isolated(bars.names[i])}`, title: `take this one · id ${id}` }, () => take(id));
            button.append(quoted(bars.names[i]));
            const bar = make("span", { class: "bl-two-bars", "aria-hidden": "true" }, make("span", { class: "bl-before" }), make("span", { class: "bl-after" }));
            bar.style.setProperty("--bl-before", before.toFixed(4));
            bar.style.setProperty("--bl-after", after.toFixed(4));
            const number = make("td", { class: "bl-value" }, bars.numbers ? (bars.numbers[i] < 0.005 ? probability(bars.numbers[i]) : fixed(bars.numbers[i], 2)) : "");
            number.hidden = !bars.numbers;
            const its = make("td", { class: "bl-value" }, other ? probability(other[i]) : "");
            its.hidden = !other;
            return make(
              "tr",
              { "data-next": id === bars.next, "data-row": id, "data-before": before, "data-after": after },
              make("th", { scope: "row" }, button),
              make("td", { class: "bl-bar-cell" }, bar),
              make("td", { class: "bl-value" }, probability(before)),
              make("td", { class: "bl-value" }, after === 0 ? "–" : probability(after)),
              its,
              number,
            );
          }),
        );
        if (had) /** @type {HTMLElement | null} */ (body.querySelector(`[data-token="${had}"]`))?.focus();
      }
      for (const button of body.querySelectorAll("button")) button.disabled = !live || bars.ended;
      set(table, { "data-ended": bars.ended });
    },
  };
}

/** What is open here, in a sentence. @param {any} bars */
export function openness(bars) {
  if (bars.ended) return "the text has ended; go back, or choose another branch";
  const left = bars.open === 1 ? "one token can come" : `${bars.open.toLocaleString("en")} tokens can come`;
  return `entropy ${fixed(bars.entropy, 2)} → ${fixed(bars.entropy_after, 2)} nats; ${left}`;
}
