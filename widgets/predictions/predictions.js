// @ts-check
// Predictions: what the four heads say of the same tokens: the next token, a label, a tag for each, an answer; after one
// layer, or one head after every layer, to see where the answer appears.
//
// What tests and other views can rely on:
//   .bloomlab                              the root; data-asked, data-layer: after which; and what every view has
//   [data-part="grid"]                     takes the arrow keys
//   [data-cell][data-row][data-column]     a cell of it: its word or number; data-marked: ▲ label read here, [ ] answer
//   [data-part="next" | "language" | "tags" | "answer"]   the heads; data-layer, data-token: what they speak of
//   [data-label="NAME"] or [data-id="N"]   in them: a row with its probability
//   [data-part="slider"]                   chooses the layer
//   [data-part="question"]                 the box to ask in; [data-part="answer-text"], "note", "entities"
//   input[name][value="all|next|language|tags|answer"]    the toggles
import { tokenNames } from "../lib/causal.js";
import { changeMenu } from "../lib/change.js";
import { PROBABILITY_COLOURS } from "../lib/colours.js";
import { isolated, lastOf, make, pushButton, quoted, set } from "../lib/dom.js";
import { viewFrame } from "../lib/frame.js";
import { headGrid } from "./grid.js";
import { legend } from "../lib/legend.js";
import { fixed, probability } from "../lib/numbers.js";
import { headReadings, ROW_NAMES } from "./readings.js";
import { toggles } from "../lib/toggles.js";
import { stepper } from "../lib/zones.js";

const ASKED = [
  ["all", "all heads", "every head, after the chosen layer"],
  ["next", "next token", "the next token after every layer"],
  ["language", "label", "the label after every layer"],
  ["tags", "tags", "the tags after every layer"],
  ["answer", "answer", "where the answer starts and ends, after every layer"],
];
const AT_ONCE = 64; // tokens in the grid
const MOST_NAMED = 24; // names listed; the tags in the grid are all there
const QUESTION_PAUSE = 250; // milliseconds without a key before a question is sent
const TICKS = /** @type {[number, string][]} */ ([0, 0.01, 0.1, 0.25, 0.5, 1].map((p) => [Math.sqrt(p), String(p)]));
const NOTHING = "O"; // the tag of a token that names nothing

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @returns {import("../lib/frame.js").Panel}
 */
export function predictionsPanel(stage) {
  // ---- what the heads say ----

  let picture = /** @type {import("./readings.js").PredictionsPicture} */ (/** @type {unknown} */ (null));
  let names = /** @type {string[]} */ ([]);
  let readings = /** @type {ReturnType<typeof headReadings>} */ (/** @type {unknown} */ (null));
  let stale = true; // other numbers have come
  let rows = /** @type {import("./readings.js").Row[]} */ ([]);
  let line = 0; // the chosen row while all heads are shown
  let painted = "";
  let pointed = /** @type {import("./grid.js").Spot | null} */ (null);
  let pointedToken = /** @type {number | null} */ (null);

  const chosen = () => ({ layer: stage.get("layer"), token: stage.get("query"), asked: stage.get("asked") });

  // ---- the pieces ----

  const modes = toggles({ id: `${stage.id}-asked`, says: "which head", choices: ASKED, choose: (asked) => stage.choose({ asked }) });
  const grid = headGrid({ pick, point: pointAt });
  const scale = legend();
  scale.show(PROBABILITY_COLOURS, "probability", TICKS);
  const slider = make("input", { class: "bl-slider", type: "range", min: 0, step: 1, id: `${stage.id}-layer`, "data-lm-suppress-shortcuts": "true", "data-part": "slider" });
  slider.addEventListener("input", () => stage.choose({ layer: Number(slider.value) }));
  slider.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => event.stopPropagation());
  const sliderSays = make("output", { for: slider.id });
  const toLast = pushButton("to the last", { "data-part": "to-last" }, () => stage.choose({ layer: picture.layers - 1 }));
  const explains = make("p", { class: "bl-note", "data-part": "explains" });

  const next = headPanel("next", "what comes next", "lm_head");
  const language = headPanel("language", "which label", "score");
  const tags = headPanel("tags", "what it names", "classifier");
  const answer = headPanel("answer", "where the answer is", "qa_outputs");
  const entities = make("p", { class: "bl-said-text", "data-part": "entities" });
  tags.element.append(entities);
  const box = make("input", { class: "bl-question", type: "text", dir: "auto", id: `${stage.id}-question`, spellcheck: "false", autocomplete: "off", "data-lm-suppress-shortcuts": "true", "data-part": "question" });
  const answerText = make("p", { class: "bl-said-text bl-said-large", "data-part": "answer-text" });
  const note = make("p", { class: "bl-note", "data-part": "note", "aria-live": "polite" });
  const askRow = make("p", { class: "bl-ask-row" }, make("label", { for: box.id }, "question "), box);
  answer.element.insertBefore(askRow, answer.table);
  answer.element.insertBefore(answerText, answer.table);
  answer.element.append(note);

  stage.which.append(next.element);
  const steps = stepper(stage, ["layer"]);
  stage.where.append(
    steps.element,
    make(
      "section",
      { class: "bl-panel", "aria-label": "what the heads say of every token" },
      make("h3", { class: "bl-title" }, "four heads over the same tokens ", make("span", { class: "bl-how" }, "head(ln_f(state))")),
      modes.element,
      make("p", { class: "bl-slide" }, make("label", { for: slider.id }, "after layer "), slider, sliderSays, toLast),
      grid.element,
      scale.element,
      explains,
    ),
  );
  const menu = changeMenu(stage);
  stage.why.append(menu.element, language.element, tags.element, answer.element);

  /** One head: what it says of the chosen token, as bars. @param {string} part @param {string} plain @param {string} term */
  function headPanel(part, plain, term) {
    const where = make("span", { class: "bl-how" });
    const body = make("tbody");
    const table = make("table", { class: "bl-said" }, body);
    const why = make("p", { class: "bl-note" });
    const element = make("section", { class: "bl-panel", "aria-label": plain, "data-part": part }, make("h3", { class: "bl-title" }, `${plain} `, make("span", { class: "bl-how" }, `${term} · `), where), why, table);
    return {
      element,
      table,

      /**
       * @param {{layer: number, token: number | null}} place
       * @param {string} missing why there is nothing to show; "" if there is
       * @param {{name: string, how?: string, p: number, data: Record<string, string | number | boolean>}[]} bars
       */
      show({ layer, token }, missing, bars) {
        set(element, { "data-layer": layer, "data-token": token ?? false });
        where.replaceChildren(`layer ${layer}`, ...(token === null ? [] : [`, token ${token} `, quoted(names[token])]));
        why.textContent = missing;
        why.hidden = missing === "";
        table.hidden = bars.length === 0;
        body.replaceChildren(
          ...bars.map(({ name, how = "", p, data }) => {
            const bar = make("span", { class: "bl-said-bar" });
            bar.style.setProperty("--bl-part", p.toFixed(3));
            return make("tr", data, make("th", { scope: "row" }, quoted(name), how && make("span", { class: "bl-how" }, how)), make("td", { class: "bl-value", title: String(p) }, p > 0 && p < 0.0005 ? "<0.001" : fixed(p)), make("td", { class: "bl-bar-cell" }, bar));
          }),
        );
      },
    };
  }

  // ---- choosing, pointing and asking ----

  /** @param {import("./grid.js").Spot} spot */
  function pick({ row, token }) {
    line = row;
    const at = { query: token, key: Math.min(stage.get("key"), token) };
    stage.choose({ ...at, layer: rows[row].layer });
    stage.drawNow(); // the row is nobody else's business
  }

  /** @param {import("./grid.js").Spot | null} spot */
  function pointAt(spot) {
    if (spot?.row === pointed?.row && spot?.token === pointed?.token) return;
    pointed = spot;
    pointedToken = spot && spot.token;
    stage.drawSoon();
  }

  let typing = false; // what stands in the box has not been sent yet
  const ask = lastOf(QUESTION_PAUSE, sendQuestion);
  stage.undo.push(ask.cancel);
  function sendQuestion() {
    ask.cancel();
    typing = false;
    const whole = box.value.isWellFormed?.() ?? true; // Python's side could not even write half a character down
    if (whole) stage.choose({ question: box.value });
    else note.textContent = "the question has half of a character in it (a lone surrogate); delete it and type it again";
  }
  box.addEventListener("input", () => {
    typing = true;
    ask();
  });
  box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    event.stopPropagation(); // the notebook's shortcuts are not meant
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    sendQuestion();
  });

  // ---- drawing ----

  /** What a cell says, for a reader and for a screen reader. @param {import("./readings.js").Row} row @param {number} token */
  function sentence(row, token) {
    const reading = readings.at(row, token);
    const where = `after layer ${row.layer}, token ${token} ${isolated(names[token])}`;
    if (!reading) return `${where}: the next token is not asked here yet`;
    const p = `probability ${probability(reading.p)}`;
    if (row.kind === "start" || row.kind === "end") return `${where}: the answer ${row.kind}s here with ${p}${reading.mark ? `; it is an end of the likeliest answer` : ""}`;
    const [best] = row.kind === "next" && picture.difference ? readings.next(row.layer, token) : [];
    if (best) return `${where}: next comes ${isolated(best.word)}, probability ${probability(best.before)} as it is, ${probability(best.p)} what if`;
    const what = { next: "next comes", language: "if the text ended here, its label would be", tags: "its tag is" }[row.kind];
    return `${where}: ${what} ${isolated(reading.word)}, ${p}${reading.mark ? "; the label of the text is read here" : ""}`;
  }

  /** Which head is shown at every layer; a head that is not there, or has no question, cannot be. */
  const shownHead = () => (readings.rows(chosen().asked, 0).length > 0 ? chosen().asked : "all");

  /** @param {string} head @param {number} layer @param {number} from */
  function showRows(head, layer, from) {
    rows = readings.rows(head, layer);
    grid.show(
      rows.map(({ kind, layer: of }) => (head === "all" ? { name: ROW_NAMES[kind][0], how: ROW_NAMES[kind][1] } : { name: `layer ${of}`, how: head === "answer" ? `${kind}s` : "" })),
      names,
      { from, to: from + AT_ONCE },
      stage.id,
    );
    grid.paint(({ row, token }) => {
      const reading = readings.at(rows[row], token);
      return reading && { ...reading, says: sentence(rows[row], token) };
    });
  }

  function draw() {
    if (stale) {
      readings = headReadings(stage.get, picture);
      stale = false;
      painted = "";
    }
    const { layer, token, asked } = chosen();
    const head = shownHead();
    const from = Math.floor(token / AT_ONCE) * AT_ONCE;
    const look = `${head} ${head === "all" ? layer : ""} ${from}`;
    if (painted !== look) {
      painted = look;
      showRows(head, layer, from);
    }
    if (rows[line]?.layer !== layer) line = rows.findIndex((row) => row.layer === layer);
    const row = line;
    const at = { layer: pointed && rows[pointed.row] ? rows[pointed.row].layer : layer, token: pointedToken ?? token };
    grid.mark({ row, token }, pointed, pointedToken);
    stage.mark({ query: token, key: token }, pointedToken, null);
    drawHeads(at);
    slider.value = String(layer);
    sliderSays.textContent = layer === picture.layers - 1 ? `${layer}, the last` : `${layer} of 0 to ${picture.layers - 1}`;
    toLast.disabled = layer === picture.layers - 1;
    modes.mark(asked);
    for (const input of modes.element.querySelectorAll("input")) input.disabled = readings.rows(input.value, 0).length === 0;
    const last = at.layer === picture.layers - 1;
    const marks = [..."language" in picture.labels ? ["▲ the token that the label of the text is read from"] : [], ...readings.kinds.includes("start") ? ["[ ] the answer"] : []];
    explains.textContent = `${marks.join("; ")}${marks.length ? ". " : ""}${last ? "This is the last layer: what the heads say." : "Only the last layer is what the heads say; nothing taught the others to make sense."}${picture.edited ? " The trace was edited: only the next token shows it, the other heads have read the text afresh." : ""}`;
    const here = rows[pointed ? pointed.row : row];
    if (here) stage.say(sentence(here, at.token));
    steps.mark({ layer: picture.layers, head: picture.heads });
    menu.show(picture, names, { layer, head: stage.get("head"), query: token, key: token, part: "post" });
    stage.showCode(picture, { layer, query: token, quoted: JSON.stringify(stage.get("question")) });
    set(stage.root, { "data-asked": asked });
  }

  /** @param {{layer: number, token: number}} at */
  function drawHeads(at) {
    const missing = picture.missing;
    const follows = picture.tokens[at.token + 1]?.id;
    const words = readings.next(at.layer, at.token);
    next.show(
      at,
      words.length ? "" : "the next token is not asked here yet; choose this token to ask",
      words.map(({ id, word, p, before }) => ({
        name: word,
        how: picture.difference ? ` was ${fixed(before)}` : ` ${id}${id === follows ? " ✓ follows" : ""}`,
        p,
        data: { "data-id": id, "data-picked": id === follows, ...(picture.difference ? { "data-before": before } : {}) },
      })),
    );
    const place = { layer: at.layer, token: pointedToken === null ? picture.column : at.token };
    language.show(place, missing.language ?? "", "language" in picture.labels ? bars("language", place) : []);
    tags.show(at, missing.tags ?? "", "tags" in picture.labels ? bars("tags", at) : []);
    drawEntities(at.layer);
    drawAnswer(at);
  }

  /** The likeliest labels of a place. @param {"language" | "tags"} task @param {{layer: number, token: number}} at */
  function bars(task, at) {
    const labels = readings.labels(task, at.layer, at.token).sort((one, other) => other.p - one.p);
    const read = task === "language" && at.token === picture.column ? " ▲" : "";
    return labels.slice(0, 8).map(({ name, p }, i) => ({ name, how: i === 0 ? read : "", p, data: { "data-label": name, "data-picked": i === 0 } }));
  }

  /** @param {number} layer */
  function drawEntities(layer) {
    const named = /** @type {[string, string, number, number][]} */ (stage.get("named")[layer] ?? []);
    const parts = named.slice(0, MOST_NAMED).flatMap(([text, tag]) => [quoted(text), make("span", { class: "bl-how" }, ` ${tag}  `)]);
    if (named.length > MOST_NAMED) parts.push(make("span", { class: "bl-how" }, `and ${named.length - MOST_NAMED} more`));
    entities.replaceChildren(...(parts.length || "tags" in picture.missing ? parts : ["nothing is named"]));
  }

  /** @param {{layer: number, token: number}} at */
  function drawAnswer(at) {
    const answers = readings.answer(at.layer);
    const missing = picture.missing.answer ?? "";
    askRow.hidden = missing !== "";
    if (!typing && box.value !== stage.get("question")) box.value = stage.get("question");
    answer.show(
      { layer: at.layer, token: null },
      missing,
      (answers?.spans ?? []).map(([text, p, first, last], i) => ({ name: text || "–", how: first === last ? ` token ${first}` : ` tokens ${first} to ${last}`, p, data: { "data-label": text, "data-picked": i === 0 } })),
    );
    const best = answers?.spans[0];
    answerText.replaceChildren(...(best ? [quoted(best[0] || "–"), make("span", { class: "bl-how" }, ` probability ${probability(best[1])}`)] : []));
    const hint = stage.get("trouble") || answers?.note || (missing || answers ? "" : "type a question; the text above is where the answer is looked for");
    if (note.textContent !== hint && !typing) note.textContent = hint;
  }

  // one message, many traits: they are all there when the first is told, and one drawing is enough
  stage.listen("change:window change:ids change:named change:ends change:answers change:trouble", () => {
    stale = true;
    stage.drawSoon();
  });
  stage.listen("change:asked change:question", stage.drawNow);

  return {
    draw,

    show(another) {
      picture = another;
      names = tokenNames(/** @type {any} */ (picture));
      pointed = pointedToken = null;
      stale = true;
      slider.max = String(picture.layers - 1);
      box.readOnly = !stage.get("live");
      if (box.readOnly) box.title = "a saved page: another question needs the model";
    },

    fit() {
      painted = ""; // the rows are made anew, and the chosen cell brought into view
    },

    point(token) {
      if (token === pointedToken) return;
      pointed = null;
      pointedToken = token;
      stage.drawSoon();
    },
  };
}

export default {
  render: (/** @type {{model: any, el: HTMLElement}} */ view) => viewFrame({ ...view, name: "predictions", makePanel: predictionsPanel }),
};
