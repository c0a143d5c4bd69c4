// @ts-check
// Tokens: a text as BLOOM reads it, the merges that built each piece, what it costs, and the same in other languages.
//
// What tests and other views can rely on (what surrounds the panel is in lib/frame.js):
//   .bloomlab[data-view="tokens"]          the root; data-query: the chosen token, data-chip: the chip it is in
//   [data-part="strip"]                    Enter goes to the replay of the chosen chip
//   [data-part="replay"]                   a slider: data-step of data-stages − 1 merges are done; arrow keys, Home, End;
//                                          Escape goes back to the strip
//     [data-stage="N"]                     what there is after N merges; data-future: not yet; in it .bl-piece, .bl-rank
//   [data-part="play" | "back" | "next"]   the same with a pointer
//   [data-fact="id | bytes | script | merges"]   of the chosen token
//   [data-count="per_word | per_character | per_byte"]   of the text
//   [data-part="compare"]                  data-state = idle | running | done | stopped | error; data-rows; data-done
//   [data-part="languages"] [data-language] [data-cost="tokens | per_word | per_character | per_byte | bits"]
//   [data-part="compare-run" | "compare-stop" | "compare-progress" | "compare-says"]
//   [data-part="mattered"]                 which tokens mattered for the next one: mattered.js
// Of a difference: surprise.js, in place of the merges.
import { tokenNames } from "../lib/causal.js";
import { changeMenu } from "../lib/change.js";
import { make, quoted, set } from "../lib/dom.js";
import { viewFrame } from "../lib/frame.js";
import { languageTable } from "./languages.js";
import { tokenWeights } from "./mattered.js";
import { fixed } from "../lib/numbers.js";
import { mergeReplay, partName } from "./replay.js";
import { surpriseNumbers, surprises } from "./surprise.js";

const FACTS = [
  ["id", "id", "the number that the model is fed"],
  ["bytes", "bytes", "of its UTF-8"],
  ["script", "script", "of its first letter"],
  ["merges", "merges", "how many merges built it"],
  ["unseen", "unseen", "what in it has no face of its own"],
];
const COUNTS = [
  ["per_word", "a word", "words"],
  ["per_character", "a character", "characters"],
  ["per_byte", "a byte", "bytes"],
];

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @returns {import("../lib/frame.js").Panel}
 */
export function tokensPanel(stage) {
  let picture = /** @type {any} */ (null);
  let chipOf = /** @type {number[]} */ ([]); // of each token
  let pointed = /** @type {number | null} */ (null);
  let shownChip = -1;
  let names = /** @type {string[]} */ ([]);
  let numbers = /** @type {ReturnType<typeof surpriseNumbers> | null} of a difference */ (null);
  let stale = true; // other numbers, or colours, have come

  const replay = mergeReplay({
    choose(step) {
      const chip = chipOf[stage.get("query")];
      stage.choose({ replayed: { chip, step } });
      stage.drawNow();
    },
    leave: () => /** @type {HTMLElement | null} */ (stage.root.querySelector('[data-part="strip"]'))?.focus(),
  });
  const openReplay = (/** @type {KeyboardEvent} */ event) => {
    const strip = /** @type {Element} */ (event.target).closest('[data-part="strip"]');
    if (event.key !== "Enter" || !strip || stage.body.hidden) return;
    event.preventDefault();
    replay.element.focus();
  };
  stage.root.addEventListener("keydown", openReplay);
  stage.undo.push(replay.pause, () => stage.root.removeEventListener("keydown", openReplay));

  const languages = languageTable({
    open(comparing) {
      stage.choose({ comparing });
    },
    read: stage.read,
  });

  const surprise = surprises({ id: stage.id, pick: (token) => stage.choose({ query: token, key: Math.min(stage.get("key"), token) }), point: pointAt });
  const title = make("h3", { class: "bl-title" });
  const note = make("p", { class: "bl-note" });
  const facts = Object.fromEntries(FACTS.map(([name]) => [name, make("td", { class: "bl-value", "data-fact": name })]));
  const counts = Object.fromEntries(COUNTS.map(([name]) => [name, { how: make("span", { class: "bl-how" }), number: make("td", { class: "bl-value", "data-count": name }) }]));
  const tokenTitle = make("h3", { class: "bl-title" });
  stage.which.append(
    surprise.which,
    make(
      "section",
      { class: "bl-panel", "aria-label": "text" },
      make("h3", { class: "bl-title" }, "what this text costs ", make("span", { class: "bl-how" }, "tokens per …")),
      make(
        "table",
        { class: "bl-token-table" },
        make("tbody", {}, ...COUNTS.map(([name, word]) => make("tr", {}, make("th", { scope: "row" }, `${word} `, counts[name].how), counts[name].number))),
      ),
    ),
  );
  const built = make(
    "section",
    { class: "bl-panel", "aria-label": "merges" },
    title,
    make("p", { class: "bl-how" }, "Between two neighbours stands the rank of their pair: when it was learned, 0 the first; – never. The lowest is joined next."),
    replay.buttons,
    replay.element,
    note,
  );
  stage.where.append(surprise.where, built);
  stage.why.append(
    surprise.why,
    make(
      "section",
      { class: "bl-panel", "aria-label": "token" },
      tokenTitle,
      make(
        "table",
        { class: "bl-token-table" },
        make("tbody", {}, ...FACTS.map(([name, word, plain]) => make("tr", {}, make("th", { scope: "row" }, `${word} `, make("span", { class: "bl-how" }, plain)), facts[name]))),
      ),
    ),
  );
  const menu = changeMenu(stage);
  stage.why.prepend(menu.element);
  const mattered = tokenWeights(stage, (token) => stage.choose({ query: token, key: Math.min(stage.get("key"), token) }));
  stage.more.append(
    make("section", { class: "bl-panel bl-across", "aria-label": "which tokens mattered" }, mattered.element),
    make("section", { class: "bl-panel bl-across", "aria-label": "other languages" }, languages.element),
  );

  /** One sentence about a stage of the replay. @param {number} step */
  function saysStep(step) {
    const stages = replay.stages();
    const { parts, next, ranks } = stages[step];
    const many = `${parts.length} ${parts.length === 1 ? "part" : "parts"}`;
    if (next >= 0) return `${many}; next, rank ${ranks[next]} joins ${partName(parts[next])} and ${partName(parts[next + 1])}`;
    return parts.length === 1 ? "one token" : `${many}, and no two neighbours are a pair that was learned`;
  }

  function showChip(/** @type {number} */ place) {
    shownChip = place;
    const chip = picture.chips[place];
    const steps = picture.replays[picture.replay_of[place]];
    replay.show(steps);
    title.replaceChildren("how ", quoted(chip.shown), " is built ", make("span", { class: "bl-how" }, "byte-pair merges, by rank"));
    const tokens = chip.tokens.map((/** @type {number} */ token) => picture.tokens[token].bytes).join(" | ");
    note.textContent = steps.long
      ? `${steps.start.length} bytes: too many merges to look at here; bloomlab.lens.tokens.merges lists them.`
      : picture.built[place]
        ? ""
        : `Merges alone do not make these tokens (${tokens}): a special token is put in whole, and a model may write pieces that the tokenizer would join.`;
  }

  /** @param {number | null} token */
  function pointAt(token) {
    if (token === pointed) return;
    pointed = token;
    stage.drawSoon();
  }

  /** Of a difference, the surprise at every token. */
  function readSurprise() {
    stale = false;
    numbers = picture.difference ? surpriseNumbers(stage.get, picture) : null;
    surprise.reveal(numbers !== null);
    built.hidden = numbers !== null;
    if (numbers) surprise.show(numbers, picture.text, names);
  }

  stage.listen("change:replayed change:comparison change:comparing change:mattered change:attributing change:mattered_answer change:mattered_rival change:mattered_instead change:mattered_over", stage.drawOnce);
  // one message, many traits: they are all there when the first is told, and one drawing is enough
  stage.listen("change:loss change:loss_before", () => {
    stale = true;
    stage.drawOnce();
  });

  return {
    show(another) {
      picture = another;
      names = tokenNames(picture);
      pointed = null;
      shownChip = -1;
      stale = true;
      chipOf = new Array(picture.tokens.length);
      picture.chips.forEach((/** @type {any} */ chip, /** @type {number} */ place) => {
        for (const token of chip.tokens) chipOf[token] = place;
      });
      for (const [name, , of] of COUNTS) {
        const value = picture.costs?.[name];
        counts[name].number.textContent = value === null || value === undefined ? "–" : fixed(value, 2);
        counts[name].how.textContent =
          picture.costs && picture.costs[of] === null
            ? "this script sets no spaces between words"
            : `${picture.tokens.length} tokens, ${picture.costs?.[of] ?? 0} ${of}`;
      }
    },

    draw() {
      if (stale) readSurprise();
      const query = stage.get("query");
      const chip = chipOf[query];
      if (chip !== shownChip) showChip(chip);
      const replayed = stage.get("replayed");
      const last = replay.stages().length - 1;
      const step = replayed.chip === chip && replayed.step >= 0 ? Math.min(replayed.step, last) : last;
      const says = saysStep(step);
      const done = last === 0 && replay.stages()[0].parts.length === 1 ? "a single byte, nothing to merge" : `${step} of ${last} ${last === 1 ? "merge" : "merges"} done: ${says}`;
      replay.mark(step, done);
      stage.mark({ query, key: -1 }, pointed, null);
      menu.show(picture, names, { layer: stage.get("layer"), head: stage.get("head"), query, key: query, part: "embed" });

      const token = picture.tokens[query];
      const { tokens, shown } = picture.chips[chip];
      const part = tokens.length > 1 ? `, part ${tokens.indexOf(query) + 1} of ${tokens.length}` : "";
      tokenTitle.replaceChildren(`token ${query} `, quoted(shown), part);
      facts.id.textContent = String(token.id);
      facts.bytes.textContent = token.bytes || "none";
      facts.script.textContent = picture.scripts[query] || "–";
      const unseen = picture.unseen[chip];
      facts.unseen.textContent = unseen;
      facts.unseen.parentElement.hidden = !unseen;
      facts.merges.textContent = `${last} of ${picture.merges.toLocaleString("en")} known`;
      if (numbers) {
        surprise.mark(numbers, names, query, pointed);
        stage.say(surprise.sentence(numbers, names, pointed ?? query));
      } else stage.say(`token ${query} `, quoted(shown), `${part}, id ${token.id}, bytes ${token.bytes || "none"}${unseen && `, with ${unseen}`}; ${done}`);
      const comparison = stage.get("comparison");
      stage.showCode({ code: [...picture.code, "more"] }, { chip, more: comparison.code + stage.get("mattered").code });
      languages.show(comparison, stage.get("live"), stage.get("comparing"));
      mattered.show(names, query);
      set(stage.root, { "data-chip": chip });
    },

    fit() {
      stale = true; // the colours may be others
    },

    point: pointAt,
  };
}

export default {
  /** @param {{model: any, el: HTMLElement}} view */
  render: (view) => viewFrame({ ...view, name: "tokens", makePanel: tokensPanel }),
};
