// @ts-check
// Predictions: what the four heads say of the same tokens: the next token, a label, a tag for each, an answer; after one
// layer, or one head after every layer, to see where the answer appears.
//
// What tests and other views can rely on:
//   .bloomlab                              the root; data-asked, data-layer: after which; and what every view has
//   [data-part="grid"]                     takes the arrow keys
//   [data-cell][data-row][data-column]     a cell of it: its word or number; data-marked: ▲ label read here, [ ] answer
//   [data-part="next" | "language" | "tags" | "answer"]   the heads; data-layer, data-token: what they speak of
//   [data-label="NAME"] or [data-id="N"]   in them: a row with its probability; of a difference, data-before, data-after
//   [data-part="changed"] [data-kind]      of a difference: what has changed most in a head; a click goes there
//   [data-part="slider"]                   chooses the layer
//   [data-part="question"]                 the box to ask in; [data-part="answer-text"], "note", "entities"
//   input[name][value="all|next|language|tags|answer"]    the toggles
//   [data-part="next"] [data-explain]      a token of the list: what the likeliest one has over it; receipt.js
import { tokenNames } from "../lib/causal.js";
import { changeMenu } from "../lib/change.js";
import { inPython } from "../lib/code.js";
import { divergingColours, PROBABILITY_COLOURS, probabilityStep, signedStep } from "../lib/colours.js";
import { isolated, lastOf, make, pushButton, quoted, set } from "../lib/dom.js";
import { viewFrame } from "../lib/frame.js";
import { headGrid } from "./grid.js";
import { legend } from "../lib/legend.js";
import { fixed, probability, signed } from "../lib/numbers.js";
import { headReadings, moved, ROW_NAMES } from "./readings.js";
import { receiptOf } from "./receipt.js";
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
const MOST_CHANGED = 4; // labels listed of a difference
const MOST_NEXT = 5; // and next tokens
const LEAST = 0.01; // the end of the scale of a difference, at least
const HARDLY = 0.0005; // a smaller change would be written as 0.000

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
  const slider = make("input", { class: "bl-slider", type: "range", min: 0, step: 1, id: `${stage.id}-layer`, "data-lm-suppress-shortcuts": "true", "data-part": "slider" });
  slider.addEventListener("input", () => stage.choose({ layer: Number(slider.value) }));
  slider.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => event.stopPropagation());
  const sliderSays = make("output", { for: slider.id });
  const toLast = pushButton("to the last", { "data-part": "to-last" }, () => stage.choose({ layer: picture.layers - 1 }));
  const explains = make("p", { class: "bl-note", "data-part": "explains" });
  const changes = make("ul", { class: "bl-noticed" });
  const changedHow = make("span", { class: "bl-how" });
  const changed = make("section", { class: "bl-panel", "aria-label": "what has changed most", "data-part": "changed" }, make("h3", { class: "bl-title" }, "what has changed most ", changedHow), changes);

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

  stage.which.append(next.element, changed);
  const steps = stepper(stage, ["layer"]);
  stage.where.append(
    steps.element,
    make(
      "section",
      { class: "bl-panel bl-panel-grid", "aria-label": "what the heads say of every token" },
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
  const receipt = receiptOf(stage);
  stage.more.append(receipt.element);

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
       * @param {{name: string, how?: string, p: number, before?: number, press?: () => void, data: Record<string, string | number | boolean>}[]} bars
       *   of a difference with `before`; `press`: what a click on the name does
       */
      show({ layer, token }, missing, bars) {
        set(element, { "data-layer": layer, "data-token": token ?? false });
        where.replaceChildren(`layer ${layer}`, ...(token === null ? [] : [`, token ${token} `, quoted(names[token])]));
        why.textContent = missing;
        why.hidden = missing === "";
        table.hidden = bars.length === 0;
        body.replaceChildren(
          ...bars.map(({ name, how = "", p, before, press, data }) => {
            const shown = press ? pushButton("", { class: "bl-button bl-plain bl-explain", title: "which part wrote it?", "data-explain": data["data-id"] }, press) : quoted(name);
            if (press) shown.append(quoted(name));
            const heading = make("th", { scope: "row" }, shown, how && make("span", { class: "bl-how" }, how));
            if (before !== undefined) return make("tr", { ...data, "data-before": before, "data-after": p }, heading, ...changeCells(before, p));
            const bar = make("span", { class: "bl-said-bar" });
            bar.style.setProperty("--bl-part", p.toFixed(3));
            return make("tr", data, heading, make("td", { class: "bl-value", title: String(p) }, p > 0 && p < 0.0005 ? "<0.001" : fixed(p)), make("td", { class: "bl-bar-cell" }, bar));
          }),
        );
      },
    };
  }

  /** A probability in both runs, and its change as a bar to the left or to the right. @param {number} before @param {number} after */
  function changeCells(before, after) {
    const bar = make("span", { class: "bl-change-bar", "data-sign": after < before ? "negative" : "positive" }, make("span"));
    bar.style.setProperty("--bl-part", Math.abs(after - before).toFixed(3));
    const both = make("span", { class: "bl-how" }, `${fixed(before)} → ${fixed(after)}`);
    return [make("td", { class: "bl-both", title: `${before} → ${after}`, colspan: 2 }, both, bar)];
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
    if (readings.differs) {
      const edge = row.kind === "start" || row.kind === "end";
      const [what] = ROW_NAMES[row.kind];
      if (moved(reading) === 0) return `${where}: ${what}: no change`;
      const label = edge ? "" : ` ${isolated(reading.word)}`;
      return `${where}: ${what}${label}, probability ${probability(reading.before)} as it is, ${probability(reading.p)} what if`;
    }
    const p = `probability ${probability(reading.p)}`;
    if (row.kind === "start" || row.kind === "end") return `${where}: the answer ${row.kind}s here with ${p}${reading.mark ? `; it is an end of the likeliest answer` : ""}`;
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
    const [colours, limit] = coloursOf(from);
    const colour = (/** @type {number} */ step) => Array.from(colours.subarray(3 * step, 3 * step + 3));
    grid.paint(({ row, token }) => {
      const reading = readings.at(rows[row], token);
      if (!reading) return null;
      const { word, p, before, mark } = reading;
      const says = sentence(rows[row], token);
      if (!readings.differs) return { word, number: "", mark, colour: colour(probabilityStep(p)), says };
      const edge = rows[row].kind === "start" || rows[row].kind === "end";
      const number = signed(p - before, moved(reading) < 0.0095 ? 3 : 2);
      if (Math.abs(p - before) < HARDLY) return { word: p === before ? "" : "≈", number: "", mark, colour: null, says };
      return { word: edge ? number : word, number: edge ? "" : number, mark, colour: colour(signedStep(p - before, limit)), says };
    });
    set(grid.element, { "data-colours": readings.differs ? "signed" : "probability", "data-limit": limit });
  }

  /** The colours of the cells and the end of their scale, which the legend shows. @param {number} from @returns {[Uint8Array, number]} */
  function coloursOf(from) {
    if (!readings.differs) {
      scale.show(PROBABILITY_COLOURS, "probability", TICKS);
      return [PROBABILITY_COLOURS, 1];
    }
    const colours = divergingColours(stage.body);
    let limit = LEAST;
    for (const row of rows) {
      for (let token = from; token < Math.min(from + AT_ONCE, names.length); token++) {
        const reading = readings.at(row, token);
        if (reading) limit = Math.max(limit, moved(reading));
      }
    }
    scale.show(colours, "what if − as it is", [[0, fixed(-limit, 2)], [0.5, "0"], [1, `+${fixed(limit, 2)}`]]);
    return [colours, limit];
  }

  /** What has changed most in each head: after the chosen layer, or of one head after any. @param {string} head */
  function drawChanged(head) {
    changed.hidden = !readings.differs;
    if (!readings.differs) return;
    const kinds = [...new Set(rows.map(({ kind }) => kind))];
    changedHow.textContent = head === "all" ? `after layer ${rows[0].layer}` : "after any layer";
    changes.replaceChildren(
      ...kinds.map((kind) => {
        const each = rows.filter((row) => row.kind === kind).map((row) => readings.largest(row));
        const most = each.reduce((one, other) => (other && (!one || moved(other) > moved(one)) ? other : one), null);
        const [what] = ROW_NAMES[kind];
        if (!most) return make("li", { "data-kind": kind }, `${what}: no change`);
        if (moved(most) < HARDLY) return make("li", { "data-kind": kind }, `${what}: hardly any change, at most ${probability(moved(most))}`);
        const { layer, token, name, before, p } = most;
        const label = kind === "start" || kind === "end" ? [] : [quoted(name), " "];
        const go = pushButton(what, { class: "bl-button bl-plain", "data-layer": layer, "data-token": token }, () => pick({ row: rows.findIndex((row) => row.kind === kind && row.layer === layer), token }));
        const where = head === "all" ? "" : ` after layer ${layer}`;
        return make("li", { "data-kind": kind, "data-before": before, "data-after": p }, go, " at ", quoted(names[token]), ` ${token}${where}: `, ...label, `${probability(before)} → ${probability(p)}`);
      }),
    );
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
      drawChanged(head);
    }
    if (rows[line]?.layer !== layer) line = rows.findIndex((row) => row.layer === layer);
    const row = line;
    const at = { layer: pointed && rows[pointed.row] ? rows[pointed.row].layer : layer, token: pointedToken ?? token };
    stage.mark({ query: token, key: token }, pointedToken, null);
    drawHeads(at);
    slider.value = String(layer);
    sliderSays.textContent = layer === picture.layers - 1 ? `${layer}, the last` : `${layer} of 0 to ${picture.layers - 1}`;
    toLast.disabled = layer === picture.layers - 1;
    modes.mark(asked);
    for (const input of modes.element.querySelectorAll("input")) input.disabled = readings.rows(input.value, 0).length === 0;
    const last = at.layer === picture.layers - 1;
    const marks = [..."language" in picture.labels ? ["▲ the token that the label of the text is read from"] : [], ...readings.kinds.includes("start") ? ["[ ] the answer"] : []];
    const taught = last ? "This is the last layer: what the heads say." : "Only the last layer is what the heads say; nothing taught the others to make sense.";
    const difference = "Each cell: what has changed most; orange: likelier, blue: less likely; ≈: by less than 0.0005; empty: no change. ";
    explains.textContent = `${readings.differs ? difference : ""}${marks.join("; ")}${marks.length ? ". " : ""}${taught}`;
    const here = rows[pointed ? pointed.row : row];
    if (here) stage.say(sentence(here, at.token));
    steps.mark({ layer: picture.layers, head: picture.heads });
    menu.show(picture, names, { layer, head: stage.get("head"), query: token, key: token, part: "post" });
    stage.showCode({ code: [...picture.code, "more"] }, { layer, query: token, quoted: inPython(stage.get("question")), more: stage.get("receipt").code });
    receipt.show();
    set(stage.root, { "data-asked": asked });
    grid.mark({ row, token }, pointed, pointedToken); // last, for it asks where the cell lies, and then the page is laid out
  }

  /** @param {{layer: number, token: number}} at */
  function drawHeads(at) {
    const missing = picture.missing;
    const follows = picture.tokens[at.token + 1]?.id;
    const words = readings.next(at.layer, at.token);
    const told = readings.differs ? words.filter((word) => moved(word) >= HARDLY).slice(0, MOST_NEXT) : words;
    next.show(
      at,
      words.length ? noChange(words, told) : "the next token is not asked here yet; choose this token to ask",
      told
        .map(({ id, word, p, before }, i) => ({
          name: word,
          ...(stage.get("live") && pointedToken === null && at.layer === picture.layers - 1 && !readings.differs ? { press: () => receipt.explain(i === 0 ? -1 : id) } : {}),
          how: readings.differs ? (id === follows ? " ✓" : "") : ` ${id}${id === follows ? " ✓ follows" : ""}`,
          p,
          ...(readings.differs ? { before } : {}),
          data: { "data-id": id, "data-picked": id === follows },
        })),
    );
    const place = { layer: at.layer, token: pointedToken === null ? picture.column : at.token };
    for (const [task, head, where] of /** @type {["language" | "tags", typeof tags, typeof at][]} */ ([["language", language, place], ["tags", tags, at]])) {
      const there = task in picture.labels;
      const rows = there ? bars(task, where) : [];
      head.show(where, missing[task] ?? (there ? noChange(readings.labels(task, where.layer, where.token), rows) : ""), rows);
    }
    drawEntities(at.layer);
    drawAnswer(at);
  }

  /** In words, that of a difference nothing, or next to nothing, is listed. @param {any[]} all @param {any[]} told */
  function noChange(all, told) {
    if (!readings.differs || told.length > 0) return "";
    return all.every((one) => moved(one) === 0) ? "no change" : "hardly any change";
  }

  /** The likeliest labels of a place. @param {"language" | "tags"} task @param {{layer: number, token: number}} at */
  function bars(task, at) {
    const labels = readings.labels(task, at.layer, at.token).sort((one, other) => (readings.differs ? moved(other) - moved(one) : other.p - one.p));
    if (readings.differs) return labels.slice(0, MOST_CHANGED).filter((label) => moved(label) >= HARDLY).map(({ name, p, before }) => ({ name, p, before, data: { "data-label": name } }));
    const read = task === "language" && at.token === picture.column ? " ▲" : "";
    return labels.slice(0, 8).map(({ name, p }, i) => ({ name, how: i === 0 ? read : "", p, data: { "data-label": name, "data-picked": i === 0 } }));
  }

  /** @param {number} layer */
  function drawEntities(layer) {
    const after = namedIn(stage.get("named")[layer]);
    if (!readings.differs || "tags" in picture.missing) {
      entities.replaceChildren(...after);
      return;
    }
    const [one, other] = [stage.get("named_before")[layer], stage.get("named")[layer]];
    const same = JSON.stringify(one) === JSON.stringify(other);
    const run = (/** @type {string} */ says) => make("span", { class: "bl-how" }, says);
    entities.replaceChildren(...(same ? [run("the same names: "), ...after] : [run("as it is: "), ...namedIn(one), make("br"), run("what if: "), ...after]));
  }

  /** What the tags name. @param {[string, string, number, number][]} [named] */
  function namedIn(named = []) {
    const parts = named.slice(0, MOST_NAMED).flatMap(([text, tag]) => [quoted(text), make("span", { class: "bl-how" }, ` ${tag}  `)]);
    if (named.length > MOST_NAMED) parts.push(make("span", { class: "bl-how" }, `and ${named.length - MOST_NAMED} more`));
    return parts.length || "tags" in picture.missing ? parts : ["nothing is named"];
  }

  /** @param {{layer: number, token: number}} at */
  function drawAnswer(at) {
    const answers = readings.answer(at.layer);
    const missing = picture.missing.answer ?? "";
    askRow.hidden = missing !== "";
    box.readOnly = !stage.get("live");
    set(box, { title: box.readOnly && "another question needs the model, and here is none" });
    if (!typing && box.value !== stage.get("question")) box.value = stage.get("question");
    const spans = readings.differs ? changedSpans(at.layer) : (answers?.spans ?? []).map(([text, p, first, last], i) => ({ text, p, first, last, data: { "data-picked": i === 0 } }));
    const told = readings.differs ? spans.filter((span) => moved(/** @type {any} */ (span)) >= HARDLY) : spans;
    answer.show(
      { layer: at.layer, token: null },
      missing || (answers ? noChange(spans, told) : ""),
      told.map(({ text, first, last, data, ...ps }) => ({ name: text || "–", how: first === last ? ` token ${first}` : ` tokens ${first} to ${last}`, ...ps, data: { "data-label": text, ...data } })),
    );
    const tells = (/** @type {import("./readings.js").AnswerSpan} */ [text, p]) => [quoted(text || "–"), make("span", { class: "bl-how" }, ` probability ${probability(p)}`)];
    const [best, before] = [answers?.spans[0], readings.answerBefore(at.layer)?.spans[0]];
    answerText.replaceChildren(...(best && before && readings.differs ? [...tells(before), " → ", ...tells(best)] : best ? tells(best) : []));
    const hint = stage.get("trouble") || answers?.note || (missing || answers ? "" : "type a question; the text above is where the answer is looked for");
    if (note.textContent !== hint && !typing) note.textContent = hint;
  }

  /** The likeliest answers of both runs, those first whose probability has changed most. @param {number} layer */
  function changedSpans(layer) {
    const all = [readings.answer(layer), readings.answerBefore(layer)].flatMap((one) => one?.spans ?? []);
    const spans = new Map(all.map(([text, , first, last]) => [`${first} ${last}`, { text, first, last, p: readings.span(layer, first, last), before: readings.spanBefore(layer, first, last), data: {} }]));
    return [...spans.values()].sort((one, other) => moved(other) - moved(one)).slice(0, MOST_CHANGED);
  }

  // one message, many traits: they are all there when the first is told, and one drawing is enough
  stage.listen("change:window change:ids change:before change:named change:ends change:answers change:language_before change:tags_before change:ends_before change:answers_before change:named_before change:trouble", () => {
    stale = true;
    stage.drawOnce();
  });
  stage.listen("change:asked change:question change:receipt change:inside change:explaining change:receipt_by change:receipt_instead change:receipt_over change:receipt_head change:receipt_token change:receipt_versus change:opened_mlp change:opened_as", stage.drawOnce);

  return {
    draw,

    show(another) {
      picture = another;
      names = tokenNames(/** @type {any} */ (picture));
      pointed = pointedToken = null;
      stale = true;
      slider.max = String(picture.layers - 1);
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
