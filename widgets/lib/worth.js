// @ts-check
// What the edits are worth, in one line: the four results of what can stand in the place. The rest opens over the picture,
// so that nothing moves: the controls, this text or many, and the record of what was tried.
//
// What tests can rely on:
//   [data-part="worth"]                       the line; hidden where there are no edits; data-state = idle | running | done | …
//   [data-worth="before | made | zero | usual | drawn | copied"]   a number; data-value, and of many texts data-against
//   [data-part="refute" | "worth-many" | "worth-more" | "worth-stop" | "worth-progress" | "worth-says"]
//   [data-part="worth-sheet"]                 what opens; in it the strip of dots (lib/dots.js), the ways (lib/held.js), the curve of parts (lib/keep.js), a direction's dose (lib/dose.js), and
//   [data-part="verdict"], [data-part="tries"] [data-try="N"], [data-part="worth-answer" | "worth-rival"], input[value="probability"]
import { isolated, lastOf, make, pushButton, quotedToken, set } from "./dom.js";
import { doseCurve } from "./dose.js";
import { dotStrip } from "./dots.js";
import { heldTable } from "./held.js";
import { keepCurve } from "./keep.js";
import { fixed, probability, signed } from "./numbers.js";
import { toggles } from "./toggles.js";

const WAYS = { zero: "nothing", usual: "usual", drawn: "drawn", copied: "copied" };
const METRICS = [
  ["logit difference", "difference of logits", "the answer's logit less the rival's, in nats"],
  ["probability", "probability", "of the answer, after the last token"],
];
const TYPING = 400; // milliseconds without a key before a token is looked for
const SHOWN = 40; // characters of a text in the list of tries

/**
 * @param {{id: string, get: (trait: string) => any, choose: (places: Record<string, any>) => void,
 *   ask: (wish: Record<string, any>) => void, undo: (() => void)[]}} options
 */
export function worthLine({ id, get, choose, ask, undo }) {
  // ---- the line ----

  const numbers = make("span", { class: "bl-worth-numbers", "data-part": "worth-numbers" });
  const says = make("span", { class: "bl-worth-says", role: "status", "data-part": "worth-says" });
  const progress = make("progress", { class: "bl-progress", max: 1, value: 0, "aria-label": "runs made", "data-part": "worth-progress" });
  const stop = pushButton("stop", { "data-part": "worth-stop" }, () => ask({ do: "stop" }));
  const compare = pushButton("measure", { "data-part": "worth-compare", title: "what else could stand there, side by side" }, () => ask({ do: "compare" }));
  const many = pushButton("", { "data-part": "worth-many", title: "means over like texts, with how far they spread" }, () => choose({ over: get("over") === "texts" ? "this text" : "texts" }));
  const refute = pushButton("refute", { "data-part": "refute", title: "key r: the same change among its controls" }, askRefute);
  const more = pushButton("more", { class: "bl-button bl-plain", "aria-expanded": "false", "aria-controls": `${id}-sheet`, "data-part": "worth-more" }, () => open(sheet.hidden));

  // ---- what opens ----

  const close = pushButton("×", { class: "bl-button bl-plain", "aria-label": "close", "data-part": "worth-close" }, () => open(false));
  const metrics = toggles({ id: `${id}-metric`, says: "what is measured", choices: METRICS, choose: (metric) => choose({ metric }) });
  const answer = tokenBox("answer", "worth-answer");
  const rival = tokenBox("rival", "worth-rival");
  const dots = dotStrip({ id: `${id}-dots` });
  const ways = heldTable({ ask: () => ask({ do: "held" }) });
  const keep = keepCurve({
    id: `${id}-keep`,
    ask: (mode, of) => ask({ do: mode, ...of }),
    selected: () => ({ layer: get("layer"), head: get("head") }),
  });
  const dose = doseCurve({
    id: `${id}-dose`,
    ask: () => ask({ do: "curve" }),
    put: (at, dose, gesture) => ask({ do: "dose", at, dose, gesture }),
  });
  const verdict = make("p", { class: "bl-verdict", role: "status", "data-part": "verdict" });
  const tries = make("ol", { class: "bl-tries", "data-part": "tries" });
  const record = make("section", { "aria-label": "what was tried" }, make("h3", { class: "bl-title" }, "what was tried"), tries);
  const sheet = make(
    "div",
    { class: "bl-sheet", id: `${id}-sheet`, role: "region", "aria-label": "what the change is worth", "data-part": "worth-sheet" },
    make("div", { class: "bl-sheet-top" }, metrics.element, answer.element, rival.element, close),
    dose.element,
    dots.element,
    verdict,
    make("div", { class: "bl-sheet-pair" }, ways.element, keep.element),
    record,
  );
  sheet.hidden = true;
  const element = make("div", { class: "bl-worth", "data-part": "worth" }, numbers, says, progress, stop, compare, many, refute, more, sheet);
  let shown = "";
  let listed = "";

  /** @param {boolean} opened */
  function open(opened) {
    const inside = sheet.contains(document.activeElement);
    sheet.hidden = !opened;
    set(more, { "aria-expanded": String(opened) });
    if (!opened && inside) more.focus();
    if (opened) draw();
  }
  sheet.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape" && /** @type {Element} */ (event.target).matches("input[type=text]")) event.stopPropagation(); // what is typed here is no command
  });

  function askRefute() {
    open(true);
    ask({ do: "refute" });
  }

  /** @param {string} trait @param {string} part */
  function tokenBox(trait, part) {
    const input = make("input", { class: "bl-factor bl-token", type: "text", dir: "auto", spellcheck: "false", maxlength: 100, "data-lm-suppress-shortcuts": "true", "data-part": part, title: "one token, with the space before it; empty: the one whose chance the change moves most" });
    const send = lastOf(TYPING, () => {
      if (input.value !== get(trait)) choose({ [trait]: input.value });
    });
    undo.push(send.cancel);
    input.addEventListener("input", send);
    return { input, element: make("label", { class: "bl-times" }, `${trait} `, input) };
  }

  // ---- drawing ----

  const write = (/** @type {number} */ value) => (get("worth").metric === "probability" ? probability(value) : `${fixed(value, 2)} nats`);
  const short = (/** @type {number} */ value) => (get("worth").metric === "probability" ? probability(value) : fixed(value, 2));

  /** @param {string} name @param {any} line */
  function number(name, { value, low, high, against, why = "" }) {
    const spread = low === undefined ? "" : `8 in 10 texts from ${write(low)} to ${write(high)}; ${against} the other way`;
    const cell = make("span", { class: "bl-worth-number", "data-worth": name, "data-value": value ?? false, "data-against": against ?? false, title: why || spread || false }, value === null ? "–" : short(value));
    return cell;
  }

  function drawNumbers() {
    const { lines, before, answer, rival, metric, nothing, texts } = get("worth");
    const now = JSON.stringify([lines, before, answer, rival, metric, nothing, texts]);
    if (now === shown) return;
    shown = now;
    if (nothing) {
      numbers.replaceChildren(make("strong", { "data-part": "worth-nothing" }, "changed nothing"), " where it was made: what stands there is the same, bit for bit");
      return;
    }
    const made = lines.find((/** @type {any} */ line) => line.name === "made");
    if (!made) return numbers.replaceChildren();
    const what = metric === "probability" ? ["p ", quotedToken(answer)] : [quotedToken(answer), " − ", quotedToken(rival)];
    const others = lines.filter((/** @type {any} */ line) => line.name !== "made");
    numbers.replaceChildren(
      ...(texts ? [`mean of ${made.dots.length}: `] : []),
      ...what,
      " ",
      number("before", { value: before }),
      " → ",
      number("made", made),
      ...(made.against === undefined ? [] : [make("span", { class: "bl-how" }, ` (${short(made.low)} to ${short(made.high)}), ${made.against} the other way`)]),
      ...others.flatMap((/** @type {any} */ line) => [make("span", { class: "bl-how" }, ` · ${WAYS[/** @type {"zero"} */ (line.name)]} `), number(line.name, line)]),
    );
    set(numbers, { title: others.length ? "with something else in the place of the last change: nothing (zero), the usual (mean of like texts), drawn from like texts, copied" : false });
  }

  /** The strip: what can stand there, in many texts; and the controls. */
  function drawDots() {
    const { lines, before, refuted } = get("worth");
    const places = lines.filter((/** @type {any} */ { dots }) => dots?.length);
    const rows = [
      ...(refuted.rows ? [] : places).map((/** @type {any} */ { name, value, dots: values, against }) => ({
        name: name === "made" ? "the change" : WAYS[/** @type {"zero"} */ (name)],
        says: `mean ${write(value)}; ${against} the other way`,
        dots: values.map((/** @type {number} */ one, /** @type {number} */ i) => ({ name: i ? `text ${i}` : "this text", value: one })),
      })),
      ...(refuted.rows ?? []).map((/** @type {any} */ { kind, dots: runs, why }) => {
        const values = runs.map((/** @type {any} */ run) => run[2]);
        const [low, high] = [Math.min(...values), Math.max(...values)];
        return {
          name: kind,
          says: runs.length ? `${runs.length}: ${short(low)} to ${short(high)}` : "",
          none: runs.length ? "" : why || "…",
          dots: runs.map((/** @type {any} */ [name, , value]) => ({ name, value })),
        };
      }),
    ];
    dots.element.hidden = rows.length === 0;
    if (rows.length) dots.show(rows, { before: refuted.before ?? before, after: refuted.after ?? null }, write);
    const sentence = refuted.sentence ?? (places.length ? "" : "Refute makes the same change in random directions, in other heads, at other tokens, from texts with the same answer, half and twice as large, and in other texts.");
    if (verdict.textContent !== sentence) verdict.textContent = sentence;
  }

  function drawTries() {
    const rows = get("tries") ?? [];
    const editable = Boolean(get("editable") && get("live"));
    const now = JSON.stringify([rows, editable]);
    record.hidden = rows.length === 0;
    if (now === listed || sheet.hidden) return;
    listed = now;
    tries.replaceChildren(
      ...rows.map((/** @type {any} */ row, /** @type {number} */ at) => {
        const again = pushButton("", { class: "bl-button bl-plain bl-try", "data-try": at, title: "bring these changes back" }, () => ask({ do: "restore", at }));
        again.append(make("bdi", {}, row.changes.join(", ")));
        again.disabled = !editable;
        const known = row["p after"] !== undefined;
        const change = known ? row["logit difference after"] - row["logit difference before"] : 0;
        return make(
          "li",
          {},
          again,
          ...(row.nothing ? [" changed nothing"] : known ? [" p ", quotedToken(row.answer), ` ${probability(row["p before"])} → ${probability(row["p after"])}, logits ${signed(change, 2)}, KL ${fixed(row.KL, 3)}`] : []),
          ...(row.text === get("picture")?.text ? [] : [" in ", make("bdi", { class: "bl-how" }, `“${row.text.slice(0, SHOWN)}${row.text.length > SHOWN ? "…" : ""}”`)]),
          ...(row.expected ? [make("span", { class: "bl-how" }, " · expected: ", make("bdi", {}, row.expected))] : []),
          ...(row.verdict ? [make("span", { class: "bl-how", title: row.verdict }, ` · ${row["as far"]} of ${row.controls} controls have half of it or more`)] : []),
        );
      }),
    );
  }

  function draw() {
    const worth = get("worth");
    const measured = get("live") ? get("editable") : worth?.lines?.length > 0;
    const edited = (get("changes") ?? []).length > (get("off") ?? []).length && Boolean(worth && measured);
    element.hidden = !worth || (!edited && (get("tries") ?? []).length === 0);
    if (element.hidden) return;
    const live = Boolean(get("live"));
    const now = worth.state === "running" && !live ? "stopped" : worth.state; // nobody measures on
    const running = now === "running";
    set(element, { "data-state": now });
    drawNumbers();
    numbers.hidden = !edited;
    const waiting = { running: { refute: "refuting …", held: "holding each part …", curve: "measuring each dose …", keep: "keeping only these …", without: "taking these out …" }[/** @type {"held"} */ (worth.doing)] ?? "measuring …", error: worth.message, stopped: "stopped; what was finished stays" }[/** @type {"running"} */ (now)] ?? "";
    if (says.textContent !== waiting) says.textContent = waiting;
    set(says, { "data-trouble": now === "error" });
    progress.hidden = stop.hidden = !running;
    progress.value = worth.total ? worth.done / worth.total : 0;
    compare.hidden = !live || !edited || running || worth.lines.length > 0 || now === "error";
    many.hidden = refute.hidden = !live || !edited;
    many.textContent = worth.others ? `${worth.others} texts` : "like texts";
    many.disabled = worth.others === 0 && get("over") !== "texts";
    set(many, { "aria-pressed": String(get("over") === "texts") });
    metrics.mark(get("metric"));
    metrics.enable(live);
    for (const [box, trait] of /** @type {const} */ ([[answer, "answer"], [rival, "rival"]])) {
      box.input.disabled = !live;
      set(box.input, { placeholder: worth[trait] ? isolated(worth[trait]) : "" });
      if (document.activeElement !== box.input) box.input.value = get(trait) ?? "";
    }
    rival.element.hidden = get("metric") === "probability";
    if (sheet.hidden) return;
    drawDots();
    dose.show(edited ? get("steered") : {}, worth.curve, live && edited, running, get("metric"), short);
    ways.show(edited ? worth.held : {}, live && edited, running, short);
    keep.show(edited ? worth.kept : {}, live && edited, running);
    drawTries();
  }

  return {
    element,
    draw,

    /** Whether there was something to close. */
    close() {
      if (sheet.hidden) return false;
      open(false);
      return true;
    },

    /** Whether there is an edit to refute. */
    refute() {
      if (refute.hidden || element.hidden) return false;
      askRefute();
      return true;
    },
  };
}
