// @ts-check
// Which tokens mattered for the next one: three answers to three questions, side by side, and where they part.
//   [data-part="mattered"]                 data-state = idle | running | done | stopped | error
//   [data-part="mattered-answer" | "mattered-rival"]   boxes: the next token, and what it is measured by
//   [data-part="mattered-run" | …]         lib/job.js; [data-part="mattered-closes"]
//   input[value="mean | drawn"]            what stands in a token's place
//   [data-part="mattered-table"] tr[data-token]       data-left-out, data-gradient, data-integrated: in nats; data-furthest
import { isolated, make, pushButton, quoted, set } from "../lib/dom.js";
import { jobBox, overTexts, typedBox } from "../lib/job.js";
import { fixed, signed } from "../lib/numbers.js";
import { toggles } from "../lib/toggles.js";

const ANSWERS = [
  ["left_out", "left out", "by how much the lead falls with something else in the place of this token"],
  ["gradient", "gradient × input", "what the slope promises if a little of it were gone"],
  ["integrated", "integrated", "integrated gradients: its share of the whole change"],
];

const BASELINES = [
  ["mean", "the mean embedding", "of all tokens of the vocabulary"],
  ["drawn", "drawn from like texts", "what another text of this kind has at this place"],
];

/** @param {import("../lib/frame.js").Stage} stage @param {(token: number) => void} pick */
export function tokenWeights(stage, pick) {
  const answer = typedBox(stage, { part: "mattered-answer", word: "next token", trait: "mattered_answer" });
  const rival = typedBox(stage, { part: "mattered-rival", word: "against", trait: "mattered_rival" });
  const instead = toggles({ id: `${stage.id}-mattered-instead`, says: "what stands in a token's place", choices: BASELINES, choose: (mattered_instead) => stage.choose({ mattered_instead }) });
  const over = overTexts(stage, "mattered_over");
  const job = jobBox(stage, { part: "mattered", opens: "attributing", start: "open", title: "which tokens mattered for the next one", how: "left out · gradient × input · integrated gradients", looks: "bl-compare", says: "bl-says-mattered", counts: "runs of the model" });
  const closes = make("p", { class: "bl-note", "data-part": "mattered-closes" });
  const body = make("tbody");
  const head = make("tr", {}, make("th", { scope: "col" }, "token"), ...ANSWERS.map(([, word, plain]) => make("th", { scope: "col", colspan: 2, title: plain }, word)), make("td"));
  const table = make("table", { class: "bl-mattered", "data-part": "mattered-table" }, make("thead", {}, head), body);
  const wide = make("div", { class: "bl-mattered-wide", tabindex: 0, role: "group", "aria-label": "what each token gives", "data-lm-suppress-shortcuts": "true" }, table);
  const asks = (/** @type {Node[]} */ ...inside) => make("div", { class: "bl-row bl-mattered-asks" }, ...inside);
  const element = job.element;
  element.append(asks(answer.element, rival.element, over.element), asks(make("span", { class: "bl-how" }, "in its place"), instead.element, job.run, job.stop, job.progress), job.says, wide, closes);

  let painted = "";
  /** @param {any} mattered @param {string[]} names @param {number} query */
  function paint(mattered, names, query) {
    const can = Boolean(stage.get("live") && stage.get("editable")) && mattered.state !== "running";
    const now = JSON.stringify([mattered.left_out, mattered.gradient, mattered.integrated, mattered.spread, mattered.kind, names, can]);
    if (now !== painted) {
      painted = now;
      const most = Object.fromEntries(ANSWERS.map(([kind]) => [kind, Math.max(1e-12, ...mattered[kind].map((/** @type {number | null} */ value) => Math.abs(value ?? 0)))]));
      body.replaceChildren(...names.map((name, token) => row(mattered, name, token, most, can)));
    }
    for (const line of body.children) set(line, { "data-picked": Number(line.getAttribute("data-token")) === query });
  }

  /** @param {any} mattered @param {string} name @param {number} token @param {Record<string, number>} most @param {boolean} can */
  function row(mattered, name, token, most, can) {
    const go = pushButton(`${token} `, { class: "bl-button bl-plain" }, () => pick(token));
    go.append(quoted(name));
    const drawn = mattered.kind === "drawn";
    const word = drawn ? "replace" : "silence";
    const silence = pushButton(word, { class: "bl-button bl-plain", "aria-label": `${word} token ${token} ${isolated(name)}`, title: drawn ? "what another text has there in the place of its embedding, as an edit" : "zeros in the place of its embedding, as an edit", "data-silence": token }, () => stage.wish({ do: "add", edit: { spot: "embed", kind: drawn ? "drawn" : "zero", axes: { pos: [token] } } }));
    const cells = ANSWERS.flatMap(([kind]) => {
      const value = mattered[kind][token];
      if (value === null || value === undefined) return [make("td", { class: "bl-weight-box" }), make("td", { class: "bl-number" }, "–")];
      const bar = make("span", { class: "bl-weight", "aria-hidden": "true", "data-sign": value < 0 ? "negative" : "positive" }, make("span"));
      bar.style.setProperty("--bl-part", (Math.abs(value) / most[kind]).toFixed(4));
      const spread = mattered.spread[kind]?.[token];
      const also = spread === undefined ? "" : ` ± ${fixed(spread, 2)}`;
      return [make("td", { class: "bl-weight-box" }, bar), make("td", { class: "bl-number", title: `${signed(value, 6)}${spread === undefined ? "" : ` ± ${fixed(spread, 6)}`} nats` }, `${signed(value, 2)}${also}`)];
    });
    const data = Object.fromEntries(ANSWERS.flatMap(([kind]) => (mattered[kind][token] === null ? [] : [[`data-${kind.replace("_", "-")}`, mattered[kind][token]]])));
    return make("tr", { "data-token": token, "data-furthest": token === mattered.furthest, ...data }, make("th", { scope: "row" }, go), ...cells, make("td", {}, ...(can ? [silence] : [])));
  }

  return {
    element,

    /** @param {string[]} names @param {number} query the chosen token */
    show(names, query) {
      const mattered = stage.get("mattered");
      const { live } = job.show(mattered, {
        idle: "this needs the model, and here is none; open this before you save a page",
        begun: "measuring …",
        so: ({ done, total }) => (stage.get("mattered_over") === "texts" ? `${fixed((100 * done) / total, 0)} % measured` : `${done} of ${total} runs`),
      });
      const there = mattered.left_out.length === names.length;
      answer.show(live, mattered.answer);
      rival.show(live, mattered.rival);
      over.show(live);
      instead.mark(stage.get("mattered_instead"));
      instead.enable(live);
      wide.hidden = closes.hidden = !there;
      if (!there) return;
      closes.textContent = `Nats of the lead; orange speaks for the answer, blue for the rival, each column in its own scale; ⟷: where the first and the last part most${mattered.texts ? `; mean ± spread over ${mattered.texts}` : ""}. ${mattered.closes}`;
      paint(mattered, names, query);
    },
  };
}
