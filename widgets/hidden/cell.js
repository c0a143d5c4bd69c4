// @ts-check
// One cell in words and numbers: what the model would say there, and how the state came about.
import { make, quoted, set } from "../lib/dom.js";
import { fixed, probability, scientific, signed } from "../lib/numbers.js";
import { partName, scriptMark, stateName } from "../lib/states.js";

/** The panel beside the grid. */
export function stateCell() {
  const title = make("h3", { class: "bl-title" });
  const body = make("tbody");
  const table = make(
    "table",
    { class: "bl-said" },
    make("caption", { class: "bl-how" }, "the likeliest next tokens, if it stopped here"),
    make(
      "thead",
      {},
      make("tr", {}, ...["token", "id", "script", "probability"].map((word) => make("th", { scope: "col" }, word))),
    ),
    body,
  );
  const facts = make("tbody");
  const factTable = make("table", { class: "bl-facts" }, facts);
  const element = make("section", { class: "bl-panel bl-panel-cell", "aria-label": "one cell", "data-part": "cell" }, title, table, factTable);

  /** @param {string} name @param {string} plain @param {string} term @param {...(Node | string)} value */
  const fact = (name, plain, term, ...value) =>
    make("tr", {}, make("th", { scope: "row" }, plain, make("span", { class: "bl-how" }, term)), make("td", { "data-fact": name }, ...value));

  return {
    element,

    /**
     * @param {ReturnType<import("../lib/states.js").stateNumbers>} numbers
     * @param {import("../lib/states.js").HiddenPicture} picture
     * @param {string[]} names
     * @param {import("../lib/states.js").Place} place
     */
    show(numbers, picture, names, place) {
      const { row, token } = place;
      set(element, { "data-row": row, "data-token": token });
      title.replaceChildren(`${stateName(picture.states[row])} `, make("span", { class: "bl-how" }, `token ${token} `), quoted(names[token]));
      table.hidden = !numbers.has(token) || !numbers.known(token);
      if (!numbers.has(token)) {
        const here = `tokens ${numbers.first} to ${numbers.first + numbers.count - 1} are here`;
        facts.replaceChildren(fact("missing", here, "", "reading the others needs the model"));
        return;
      }
      const follows = token + 1 < names.length ? picture.tokens[token + 1].id : -1;
      body.replaceChildren(
        ...(numbers.known(token) ? numbers.likeliest(place) : []).map(({ id, shown, script, p }) => {
          const bar = make("span", { class: "bl-said-bar" });
          bar.style.setProperty("--bl-part", p.toFixed(3));
          return make(
            "tr",
            { "data-follows": id === follows },
            make("td", {}, quoted(shown), id === follows ? " ✓" : ""),
            make("td", { class: "bl-id" }, String(id)),
            make("td", { class: "bl-how", title: script.toLowerCase() }, scriptMark(script)),
            make("td", { class: "bl-value" }, probability(p), bar),
          );
        }),
      );
      const next = follows < 0 ? ["nothing follows the last token"] : [quoted(names[token + 1]), ` rank ${numbers.rank(place)}, probability ${probability(numbers.chance(place))}`];
      const before = row > 0 ? `${fixed(numbers.cosine(token, row, row - 1))} to the state before · ` : "";
      const said = () => [
        fact("entropy", "how unsure it is", "entropy", `${fixed(numbers.entropy(place), 2)} nats of at most ${fixed(Math.log(picture.vocab), 2)}`),
        fact("rank", "what does follow", "✓", ...next),
      ];
      facts.replaceChildren(
        ...(numbers.known(token) ? said() : [fact("missing", "what it would say", "", "is on its way")]),
        fact("length", "how long the vector is", "norm", fixed(numbers.length(place), 1)),
        fact("turn", "which way it points", "cosine", `${before}${fixed(numbers.cosine(token, row, numbers.states - 1))} to the last`),
        ...(numbers.summed
          ? [fact("share", `what ${partName(picture.states[row])} added here`, "share of the last state", `${signed(numbers.share(place))}, a vector ${fixed(numbers.added(place), 1)} long`)]
          : []),
      );
    },
  };
}

/**
 * Who added what to the last state of a token: a row for each part, and their sum.
 * @param {{pick: (row: number) => void, point: (row: number | null) => void}} listeners
 */
export function streamParts({ pick, point }) {
  const body = make("tbody");
  const table = make("table", { class: "bl-parts-table", tabindex: 0, "aria-label": "shares; up and down choose a state", "data-lm-suppress-shortcuts": "true", "data-part": "shares" }, body);
  let picked = 0;
  let count = 0;

  /** @param {Event} event */
  const rowUnder = (event) => {
    const row = /** @type {Element} */ (event.target).closest("tr")?.getAttribute("data-share");
    return row ? Number(row) : null;
  };
  table.addEventListener("pointerover", (/** @type {PointerEvent} */ event) => point(rowUnder(event)));
  table.addEventListener("pointerleave", () => point(null));
  table.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const row = rowUnder(event);
    if (row !== null) pick(row);
  });
  table.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    pick(Math.min(count - 1, Math.max(0, picked + step)));
  });
  const note = make("p", { class: "bl-note", "data-part": "sum-note" });
  const who = make("span", { class: "bl-how" });
  const element = make(
    "section",
    { class: "bl-panel bl-panel-parts", "aria-label": "who added what", "data-part": "parts" },
    make("h3", { class: "bl-title" }, "who added what to the last state ", who),
    table,
    note,
  );

  return {
    element,

    /**
     * @param {ReturnType<import("../lib/states.js").stateNumbers>} numbers
     * @param {import("../lib/states.js").HiddenPicture} picture
     * @param {string[]} names
     * @param {import("../lib/states.js").Place} place
     */
    show(numbers, picture, names, { row, token }) {
      [picked, count] = [row, numbers.states];
      who.replaceChildren(`share of it · token ${token} `, quoted(names[token]));
      table.hidden = !numbers.summed || !numbers.has(token);
      note.textContent = picture.refusal;
      if (table.hidden) {
        if (!picture.refusal) note.textContent = "these numbers are not here";
        return;
      }
      const share = (/** @type {number} */ part) => numbers.share({ row: part, token });
      const shares = Array.from({ length: numbers.states }, (_, part) => share(part));
      const most = Math.max(...shares.map(Math.abs));
      const total = shares.reduce((sum, value) => sum + value, 0);
      body.replaceChildren(
        ...shares.map((value, part) => {
          const bar = make("span", { class: "bl-signed-bar", "data-sign": value < 0 ? "negative" : "positive" }, make("span"));
          bar.style.setProperty("--bl-part", (most > 0 ? value / most : 0).toFixed(3));
          return make(
            "tr",
            { "data-share": part, "data-picked": part === row },
            make("th", { scope: "row" }, partName(picture.states[part])),
            make("td", { class: "bl-value" }, signed(value)),
            make("td", { class: "bl-bar-box" }, bar),
          );
        }),
        make("tr", { class: "bl-sum" }, make("th", { scope: "row" }, "sum"), make("td", { class: "bl-value", "data-share": "sum" }, signed(total)), make("td")),
      );
      const rest = share(numbers.states);
      note.textContent =
        Math.abs(rest) < 1e-3
          ? `the parts add up to the last state; what is left is ${scientific(rest)}`
          : `an edit changed the stream itself: ${signed(rest)} of the last state comes from no part`;
    },
  };
}
