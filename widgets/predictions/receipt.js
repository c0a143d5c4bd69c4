// @ts-check
// Which part wrote the next token: a difference of two logits as a sum, a line for each part of the model. Its bars begin
// at zero: the upper one is what the part adds by itself, the lower one what is lost without it.
//   [data-part="receipt"]                  a job: lib/job.js; data-at: after which token; data-mode = direct | total
//   [data-part="receipt-token" | "receipt-versus"]   boxes: the token, and what it is measured by
//   input[name][value="of-next | of-language | of-tags | of-answer"]   the head whose output it is of
//   input[name][value="token | mean | nothing"], [value="drawn | zero"]   measured by; what stands in a part's place
//   [data-part="receipt-total" | "receipt-closes"]
//   [data-part="receipt-lines"] tr[data-name]        data-direct, data-total: in nats, of many texts the means, beside
//                                          data-spread; in it [data-silence], and of an MLP [data-opens="LAYER"]
//   [data-part="inside"]                   an MLP's line, opened; input[value="neurons | without"]; tr[data-name][data-nats]
import { make, pushButton, set } from "../lib/dom.js";
import { jobBox, overTexts, typedBox } from "../lib/job.js";
import { fixed, signed } from "../lib/numbers.js";
import { toggles } from "../lib/toggles.js";

const OF = [
  ["of-next", "next token", "what comes after the chosen token"],
  ["of-language", "label", "the label, if the text ended at the chosen token"],
  ["of-tags", "tag", "the tag of the chosen token"],
  ["of-answer", "answer", "whether an answer to the question starts, or ends, at the chosen token"],
];
const ENDS = ["start", "end"];
const INSIDE = [
  ["neurons", "its neurons", "they sum to its line"],
  ["without", "what it would lose without each head", "or another part that it reads"],
];

const BY = [
  ["token", "another token", "the runner-up, or the one that is named"],
  ["mean", "the mean of all", "of all tokens of the vocabulary"],
  ["nothing", "nothing", "the logit alone: softmax does not see what all tokens get"],
];
const INSTEAD = [
  ["drawn", "drawn from like texts", "what another text of this kind has there"],
  ["zero", "zeros", "which no text has there"],
];

/** @param {import("../lib/frame.js").Stage} stage */
export function receiptOf(stage) {
  const token = typedBox(stage, { part: "receipt-token", word: "token", trait: "receipt_token", also: { receipt_rival: -1 } });
  const versus = typedBox(stage, { part: "receipt-versus", word: "against", trait: "receipt_versus", also: { receipt_rival: -1 } });
  const over = overTexts(stage, "receipt_over");
  const job = jobBox(stage, { part: "receipt", opens: "explaining", start: "direct", title: "which part wrote the next token?", how: "the receipt: a difference of two logits, a line for each part", looks: "bl-panel bl-receipt-panel", says: "bl-said-text", counts: "runs with a part replaced" });
  const of = toggles({ id: `${stage.id}-receipt-of`, says: "whose output it is of", choices: OF, choose: (/** @type {string} */ value) => stage.choose({ receipt_head: value.slice(3), receipt_token: "", receipt_versus: "", receipt_rival: -1, receipt_over: "this text" }) });
  const by = toggles({ id: `${stage.id}-receipt-by`, says: "what it is measured by", choices: BY, choose: (receipt_by) => stage.choose({ receipt_by }) });
  const instead = toggles({ id: `${stage.id}-receipt-instead`, says: "what stands in a part's place", choices: INSTEAD, choose: (receipt_instead) => stage.choose({ receipt_instead }) });
  const measure = pushButton("what is lost without each part?", { "data-part": "receipt-total" }, () => stage.choose({ explaining: "total" }));
  const closes = make("p", { class: "bl-note", "data-part": "receipt-closes" });
  const head = make("tr");
  const body = make("tbody");
  const table = make("table", { class: "bl-receipt", "data-part": "receipt-lines" }, make("thead", {}, head), body);
  const wide = make("div", { class: "bl-receipt-wide", tabindex: 0, role: "group", "aria-label": "the lines of the receipt", "data-lm-suppress-shortcuts": "true" }, table);
  const inside = insideOf();
  const element = job.element;
  const asks = (/** @type {Node[]} */ ...inside) => make("div", { class: "bl-row bl-receipt-asks" }, ...inside);
  element.append(asks(of.element, over.element), asks(token.element, versus.element, by.element), asks(job.run, measure, job.stop, job.progress, make("span", { class: "bl-how" }, "in its place"), instead.element), job.says, wide, inside.element, closes);

  /** An MLP's line, opened. */
  function insideOf() {
    const kind = toggles({ id: `${stage.id}-inside`, says: "into what an MLP is opened", choices: INSIDE, choose: (opened_as) => stage.choose({ opened_as }) });
    const says = make("p", { class: "bl-said-text", role: "status", "data-part": "inside-says" });
    const shut = pushButton("×", { class: "bl-button bl-plain", "aria-label": "close the MLP", "data-part": "inside-close" }, () => stage.choose({ opened_mlp: -1 }));
    const lines = make("tbody");
    const element = make("section", { class: "bl-receipt-inside", "aria-label": "an MLP, opened", "data-part": "inside" }, make("div", { class: "bl-row bl-receipt-asks" }, kind.element, shut), says, make("table", { class: "bl-receipt" }, lines));
    let drawn = "";
    return {
      element,

      /** @param {boolean} can */
      show(can) {
        const piece = stage.get("inside");
        const open = stage.get("opened_mlp") >= 0;
        element.hidden = !open || piece.state === "idle";
        kind.mark(stage.get("opened_as"));
        kind.enable(Boolean(stage.get("live")));
        shut.hidden = !stage.get("live");
        set(element, { "data-state": piece.state });
        says.textContent = piece.state === "error" ? piece.message : piece.says;
        const now = JSON.stringify([piece.rows, piece.rest, can]);
        if (now === drawn) return;
        drawn = now;
        const most = Math.max(1e-12, ...piece.rows.map((/** @type {any} */ line) => Math.abs(line.value)), piece.rest[0] ? Math.abs(piece.rest[1]) : 0);
        const line = (/** @type {any} */ { name, value, spot, axes }) =>
          make(
            "tr",
            { "data-name": name, "data-nats": value },
            make("th", { scope: "row" }, name),
            make("td", { class: "bl-receipt-bars", "aria-hidden": "true" }, bar(value, most, "direct")),
            cell(value),
            make("td", { class: "bl-receipt-do" }, ...(can && spot ? [pushButton("silence", { class: "bl-button bl-plain", "aria-label": `silence ${name} of MLP ${piece.layer}`, title: "put zero in its place, as an edit", "data-silence": name }, () => stage.wish({ do: "add", edit: { spot, kind: "zero", axes } }))] : [])),
          );
        lines.replaceChildren(...piece.rows.map(line), ...(piece.rest[0] ? [line({ name: `${piece.rest[0]} smaller ones`, value: piece.rest[1] })] : []));
      },
    };
  }

  /** @param {number} value @param {number} most @param {string} kind */
  function bar(value, most, kind) {
    const element = make("span", { class: "bl-change-bar", "data-kind": kind, "data-sign": value < 0 ? "negative" : "positive" }, make("span"));
    element.style.setProperty("--bl-part", (Math.abs(value) / most).toFixed(4));
    return element;
  }

  /** A number, and of many texts how far it spreads. @param {number | null} value @param {number | null} [spread] */
  function cell(value, kind = "", spread = null) {
    const more = (/** @type {number} */ digits) => (spread === null ? "" : ` ± ${fixed(spread, digits)}`);
    return make("td", { class: "bl-value", ...(kind ? { "data-kind": kind } : {}), ...(value === null ? {} : { title: `${signed(value, 6)}${more(6)} nats` }), "data-spread": spread ?? false }, value === null ? "–" : `${signed(value, 2)}${more(2)}`);
  }

  /** What a line says: of many texts, the means. @param {any} line */
  function told({ direct, total, over }) {
    if (!over) return { direct: [direct, null], total: total === null ? [null, null] : [total, null] };
    return { direct: over.direct, total: over.total ?? [null, null] };
  }

  /** @param {any} line @param {{most: number, totals: boolean, can: boolean, kind: string}} how */
  function row(line, { most, totals, can, kind }) {
    const { name, words, spot, axes, over } = line;
    const { direct: [direct, spread], total: [total, further] } = told(line);
    const bars = make("td", { class: "bl-receipt-bars", "aria-hidden": "true" }, bar(direct, most, "direct"), ...(totals && total !== null ? [bar(total, most, "total")] : []));
    const heard = `${name}: adds ${signed(direct, 2)} nats${total === null ? "" : `, without it ${signed(total, 2)} are lost`}`;
    const silence = pushButton(kind === "drawn" ? "replace" : "silence", { class: "bl-button bl-plain", "data-silence": name, "aria-label": `${kind === "drawn" ? "replace" : "silence"} ${heard}`, title: kind === "drawn" ? "put what another text has there in its place, as an edit" : "put zeros in its place, as an edit" }, () =>
      stage.wish({ do: "add", edit: { spot, kind, axes } }),
    );
    return make(
      "tr",
      { "data-name": name, "data-direct": direct, ...(total === null ? {} : { "data-total": total }) },
      make("th", { scope: "row" }, opener(name), ...(words && !over ? [make("span", { class: "bl-how" }, words)] : [])),
      bars,
      cell(direct, "direct", spread),
      ...(totals ? [cell(total, "total", further)] : []),
      make("td", { class: "bl-receipt-do" }, ...(can && spot ? [silence] : [])),
    );
  }

  /** The name of a line; that of an MLP opens it. @param {string} name */
  function opener(name) {
    const layer = name.startsWith("MLP ") ? Number(name.slice(4)) : -1;
    if (layer < 0 || !stage.get("live") || stage.get("picture").difference) return name;
    return pushButton(name, { class: "bl-button bl-plain bl-explain", title: "open it: its neurons, or what it would lose without each head", "data-opens": layer }, () => stage.choose({ opened_mlp: stage.get("opened_mlp") === layer ? -1 : layer }));
  }

  let painted = "";
  /** @param {any} receipt @param {boolean} can */
  function paint(receipt, can) {
    const { lines, rest, over, kind } = receipt;
    const [difference, spread] = over ? over.difference : [receipt.difference, null];
    const now = JSON.stringify([lines, rest, difference, can]);
    if (now === painted) return;
    painted = now;
    const totals = lines.some((/** @type {any} */ line) => told(line).total[0] !== null);
    const most = Math.max(...lines.flatMap((/** @type {any} */ line) => Object.values(told(line)).map(([value]) => Math.abs(value ?? 0))), Math.abs(difference), rest[0] ? Math.abs(over ? over.rest[0] : rest[1]) : 0, 1e-12);
    head.replaceChildren(
      ...[["part", ""], [totals ? "▬ direct  ▭ total" : "", "bl-how"], ["direct", "bl-value"], ...(totals ? [["total", "bl-value"]] : []), ["", ""]].map(([word, kind]) =>
        word ? make("th", { scope: "col", class: kind }, word) : make("td"),
      ),
    );
    const end = (/** @type {string} */ name, /** @type {number} */ value, /** @type {number | null} */ spread, /** @type {boolean} */ sum) =>
      make("tr", { "data-name": name, "data-direct": value, "data-sum": sum }, make("th", { scope: "row" }, name), make("td", { class: "bl-receipt-bars", "aria-hidden": "true" }, bar(value, most, "direct")), cell(value, "direct", spread), ...(totals ? [make("td")] : []), make("td"));
    body.replaceChildren(
      ...lines.map((/** @type {any} */ line) => row(line, { most, totals, can, kind })),
      ...(rest[0] ? [end(`${rest[0]} smaller parts`, ...(over ? /** @type {[number, number | null]} */ (over.rest.slice(0, 2)) : /** @type {[number, number | null]} */ ([rest[1], null])), false)] : []),
      end("the difference", difference, spread, true),
    );
  }

  return {
    element,

    /** Open it, of the likeliest token against another, by its id; −1 is the runner-up. @param {number} rival */
    explain(rival) {
      const more = /** @type {HTMLElement | null} */ (stage.root.querySelector('[data-part="more"]'));
      if (more?.getAttribute("aria-pressed") === "false") more.click();
      stage.choose({ receipt_token: "", receipt_versus: "", receipt_rival: rival, receipt_by: "token", receipt_head: "next", ...(["direct", "total"].includes(stage.get("explaining")) ? {} : { explaining: "direct" }) });
      element.scrollIntoView({ block: "nearest" });
      job.summary.focus({ preventScroll: true });
    },

    /** Draw what has been measured so far. */
    show() {
      const receipt = stage.get("receipt");
      const { live, state, running } = job.show(receipt, {
        idle: "a receipt needs the model, and here is none; open this before you save a page",
        begun: "measuring …",
        so: ({ done, total, says }) => `${done} of ${total} ${receipt.texts ? "runs" : "parts replaced"}. ${says}`,
      });
      const there = receipt.lines.length > 0;
      const mode = stage.get("explaining");
      const head = stage.get("receipt_head");
      set(element, { "data-at": receipt.at, "data-mode": receipt.mode });
      const picture = stage.get("picture");
      const labels = head === "next" ? [] : head === "answer" ? ENDS : (picture.labels?.[head] ?? []);
      const same = receipt.head === head; // else these are of another head
      token.show(live, same ? receipt.token : "", labels); // what was clicked stands there in grey
      versus.show(live, same ? receipt.versus : "", labels);
      versus.element.hidden = stage.get("receipt_by") !== "token";
      over.show(live && head === "next");
      of.mark(`of-${head}`);
      of.enable(live);
      by.mark(stage.get("receipt_by"));
      by.enable(live);
      instead.mark(stage.get("receipt_instead"));
      instead.enable(live);
      job.run.hidden = !live || mode !== "stopped" || running;
      const differs = Boolean(picture.difference);
      measure.hidden = !live || running || mode === "total" || differs; // of a difference, by how much each line has changed
      instead.element.hidden = over.element.hidden = differs;
      measure.disabled = !there;
      const can = Boolean(live && stage.get("editable")) && state !== "running";
      inside.show(can);
      wide.hidden = closes.hidden = !there;
      if (!there) return;
      closes.textContent = `${receipt.closes}. direct: what the part adds, the last norm held at its size${receipt.mode === "total" ? `; total: what is lost with ${receipt.instead} in its place, and all after it computed anew` : ""}. In nats${receipt.texts ? `; mean ± spread over ${receipt.texts}` : ""}.`;
      paint(receipt, can);
    },
  };
}
