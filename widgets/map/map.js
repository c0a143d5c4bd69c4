// @ts-check
// The map: the whole model in one picture, from the text to the next token, with this text's own shapes.
//
// What tests and other views can rely on (what surrounds the panel is in lib/frame.js):
//   .bloomlab[data-view="map"]          the root; data-chosen: the chosen part
//   [data-part="map"]                   the picture; ArrowUp and ArrowDown go through the parts
//     [data-box="text | tokens | embed | attn | alibi | mlp | stream | norm | scores | next"]   a part; pressed: chosen
//     [data-state-after="embed | attn | mlp"]   how long the state of the chosen token is after this step
//   [data-numbers="embed | attn | …"]   how many of the learned numbers a part has; a click chooses it
//   [data-fact="here | learned | length | file | lesson"]   of the chosen part
//   [data-part="open-tab"]              the tab that shows it
import { changeMenu } from "../lib/change.js";
import { floats, tokenNames } from "../lib/causal.js";
import { make, pushButton, quoted, set } from "../lib/dom.js";
import { inForms } from "../lib/forms.js";
import { viewFrame } from "../lib/frame.js";
import { fixed, probability, signed } from "../lib/numbers.js";
import { stepper } from "../lib/zones.js";
import { inCode, smallMap } from "./small.js";

const ROWS = [["text", "tokens"], ["embed"], ["attn", "alibi"], ["mlp"], ["stream"], ["norm", "scores"], ["next"]];
const LAYERED = ["attn", "mlp", "stream"]; // the first of a row that stands in the frame of a layer
const CHANGES = { attn: "attention", alibi: "head", mlp: "mlp", embed: "embed" }; // what is changed first, in lib/change.js; else the state
const FACTS = [
  ["here", "of this text"],
  ["learned", "learned"],
  ["length", "at the chosen token"],
  ["file", "computed in"],
  ["lesson", "lesson"],
];
const TABS = { tokens: "Tokens", attention: "Attention", alibi: "ALiBi", hidden: "Hidden states", predictions: "Predictions", writing: "Writing" };

/** @typedef {{name: string, title: string, does: string, spot: string, axes: [string, number, string][], parameters: number, layered: boolean, file: string, lesson: string, tab: keyof typeof TABS}} Part */

/** @param {number} count */
const counted = (count) => count.toLocaleString("en");

/**
 * What is there, in words, and in a few signs.
 * @param {Part} part @param {number} tokens
 */
function shapeOf(part, tokens) {
  return part.axes.map(([, size, words]) => `${counted(size || tokens)} ${words}`).join(" × ");
}

/** @param {Part} part @param {number} tokens */
function shortShape(part, tokens) {
  return part.axes.map(([, size]) => counted(size || tokens)).join(" × ");
}

/** @param {number} count @param {number} total */
function shareOf(count, total) {
  const share = (100 * count) / total;
  return share && share < 0.1 ? "< 0.1 %" : `${fixed(share, 1)} %`;
}

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @returns {import("../lib/frame.js").Panel}
 */
export function mapPanel(stage) {
  return inForms(stage, () => stage.get("level"), { whole: wholeMap, small: smallMap });
}

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @returns {import("../lib/frame.js").Panel}
 */
function wholeMap(stage) {
  let picture = /** @type {any} */ (null);
  let names = /** @type {string[]} */ ([]);
  let pointed = /** @type {number | null} */ (null);

  const choose = (/** @type {string} */ part) => {
    stage.choose({ part });
    stage.drawNow();
  };
  const boxes = Object.fromEntries(
    ROWS.flat().map((name) => {
      const [title, shape] = [make("span", { class: "bl-box-title" }), make("span", { class: "bl-how bl-box-shape" })];
      const bar = make("span", { class: "bl-box-bar", "aria-hidden": "true" });
      const box = make("button", { class: "bl-box", type: "button", "data-box": name, "data-lm-suppress-shortcuts": "true" }, title, shape, bar);
      box.addEventListener("click", () => choose(name));
      return [name, { box, title, shape, bar }];
    }),
  );
  const after = Object.fromEntries(["embed", "attn", "mlp"].map((name) => [name, make("span", { class: "bl-rail-length", "data-state-after": name })]));
  const layers = stepper(stage, ["layer"]);
  const ofAll = make("span", { class: "bl-how" });
  const row = (/** @type {string[]} */ parts) => [
    make("div", { class: "bl-rail", "data-stream": ["embed", ...LAYERED].includes(parts[0]) }, ...(after[parts[0]] ? [after[parts[0]]] : [])),
    make("div", { class: "bl-boxes" }, ...parts.map((name) => boxes[name].box)),
  ];
  const frame = make("div", { class: "bl-layer", role: "group", "aria-label": "one layer" }, make("div", { class: "bl-rail", "data-stream": true }), make("div", { class: "bl-layer-head" }, layers.element, ofAll), ...ROWS.filter(([first]) => LAYERED.includes(first)).flatMap(row));
  const [before, behind] = [ROWS.slice(0, 2), ROWS.slice(5)];
  const map = make("div", { class: "bl-map", role: "group", "aria-label": "the model, from the text to the next token", "data-part": "map" }, ...before.flatMap(row), frame, ...behind.flatMap(row));
  map.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const order = ROWS.flat();
    const at = order.indexOf(/** @type {HTMLElement} */ (event.target).dataset.box ?? "");
    if (step === undefined || at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const to = order[Math.min(order.length - 1, Math.max(0, at + step))];
    boxes[to].box.focus();
    choose(to);
  });

  const mapTitle = make("h3", { class: "bl-title" });
  const whole = make("h3", { class: "bl-title" });
  const shares = make("div", { class: "bl-shares" });
  const partTitle = make("h3", { class: "bl-title" });
  const does = make("p", { class: "bl-does" });
  const facts = Object.fromEntries(FACTS.map(([name]) => [name, make("td", { class: "bl-value", "data-fact": name })]));
  const open = pushButton("", { "data-part": "open-tab" }, () => stage.choose({ tab: part().tab }));
  const menu = changeMenu(stage);
  stage.which.append(make("section", { class: "bl-panel", "aria-label": "where the numbers are" }, whole, shares));
  stage.where.append(make("section", { class: "bl-panel", "aria-label": "map" }, mapTitle, map));
  stage.why.append(
    menu.element,
    make(
      "section",
      { class: "bl-panel", "aria-label": "part" },
      partTitle,
      does,
      make("p", { class: "bl-row" }, open),
      make("table", { class: "bl-facts" }, make("tbody", {}, ...FACTS.map(([name, word]) => make("tr", {}, make("th", { scope: "row" }, word), facts[name])))),
    ),
  );

  const parts = () => /** @type {Part[]} */ (stage.get("parts"));
  const part = () => parts().find(({ name }) => name === stage.get("part")) ?? parts()[0];
  const learned = (/** @type {Part} */ one) => one.parameters * (one.layered ? picture.layers : 1);

  /** How long the state of a token is after a step of a layer, and what the step has added. @param {string} name @param {number} layer @param {number} token @param {boolean} [before] in the other run */
  function lengths(name, layer, token, before = false) {
    const [norms, written] = (before ? ["norms_before", "written_before"] : ["norms", "written"]).map((piece) => floats(stage.get(piece)));
    const tokens = picture.tokens.length;
    const state = { embed: 0, attn: 1 + 2 * layer, mlp: 2 + 2 * layer, stream: 2 + 2 * layer }[name];
    if (state === undefined) return null;
    const step = { attn: 0, mlp: 1 }[name];
    return { state: norms[state * tokens + token], added: step === undefined ? null : written[(2 * layer + step) * tokens + token] };
  }

  /** The length of a state; of a difference, what has come to it. @param {string} name @param {number} layer @param {number} token @param {boolean} differs */
  function saysLength(name, layer, token, differs) {
    const state = lengths(name, layer, token)?.state ?? NaN;
    return differs ? signed(state - (lengths(name, layer, token, true)?.state ?? NaN), 2) : fixed(state, 2);
  }

  stage.listen("change:part change:parts change:norms change:written change:next change:norms_before change:written_before change:next_before", stage.drawOnce);

  return {
    show(another) {
      picture = another;
      names = tokenNames(picture);
      pointed = null;
    },

    draw() {
      const tokens = picture.tokens.length;
      const [layer, query] = [Math.min(stage.get("layer"), picture.layers - 1), stage.get("query")];
      const total = parts().reduce((sum, one) => sum + learned(one), 0);
      const chosen = part();
      const differs = Boolean(picture.difference);
      const next = /** @type {[string, number][]} */ (stage.get("next"));
      mapTitle.replaceChildren("the model ", make("span", { class: "bl-how" }, "on the line: how ", differs ? "much longer" : "long", " the state of ", quoted(names[query]), differs ? " has become" : " is"));
      whole.replaceChildren(`${counted(total)} learned numbers `, make("span", { class: "bl-how" }, "where they are"));
      for (const one of parts()) {
        const { box, title, shape, bar } = boxes[one.name];
        title.textContent = one.title;
        shape.replaceChildren(one.name === "text" ? `${counted(Array.from(picture.text).length)} characters` : one.name === "next" ? "" : shortShape(one, tokens));
        if (one.name === "next") next.forEach(([word, prob], place) => shape.append(place ? " · " : "", quoted(word), ` ${probability(prob)}${differs ? ` (was ${probability(stage.get("next_before")[place])})` : ""}`));
        bar.style.setProperty("--bl-part", String(learned(one) / total));
        bar.hidden = !one.parameters;
        set(box, { "aria-pressed": String(one === chosen), title: `${one.title}: ${one.does}` });
      }
      for (const [name, element] of Object.entries(after)) element.textContent = saysLength(name, layer, query, differs);
      layers.mark({ layer: picture.layers });
      ofAll.textContent = `of ${picture.layers}, each built alike`;
      shares.replaceChildren(
        ...parts()
          .filter(({ parameters }) => parameters)
          .map((one) => {
            const line = pushButton("", { class: "bl-button bl-plain bl-share-line", "data-numbers": one.name, "aria-pressed": String(one === chosen) }, () => choose(one.name));
            const bar = make("span", { class: "bl-cost", "aria-hidden": "true" });
            bar.style.setProperty("--bl-part", String(learned(one) / total));
            line.append(make("span", {}, one.title), make("span", { class: "bl-number" }, shareOf(learned(one), total)), bar);
            return line;
          }),
      );
      const where = chosen.layered ? `, layer ${layer}` : "";
      partTitle.replaceChildren(`${chosen.title}${where}`);
      does.textContent = chosen.does;
      const at = lengths(chosen.name, layer, query);
      const was = differs ? lengths(chosen.name, layer, query, true) : null;
      const values = /** @type {Record<string, string>} */ ({
        here: chosen.name === "text" ? `${counted(Array.from(picture.text).length)} characters` : shapeOf(chosen, tokens),
        learned: chosen.parameters ? `${counted(chosen.parameters)} numbers${chosen.layered ? " a layer" : ""}, ${shareOf(learned(chosen), total)} of all` : "",
        length: at ? `${at.added === null ? "" : `adds a vector ${fixed(at.added, 2)} long; then `}the state is ${fixed(at.state, 2)} long${was ? `, was ${fixed(was.state, 2)}` : ""}` : "",
        file: `bloomlab/${chosen.file}`,
        lesson: chosen.lesson,
      });
      for (const [name, cell] of Object.entries(facts)) {
        cell.textContent = values[name];
        cell.parentElement.hidden = !values[name];
      }
      open.textContent = `open ${TABS[chosen.tab]}`;
      open.hidden = stage.get("tab") === undefined;
      menu.show(picture, names, { layer, head: stage.get("head"), query, key: stage.get("key"), part: CHANGES[/** @type {keyof typeof CHANGES} */ (chosen.name)] ?? "post" });
      stage.mark({ query, key: -1 }, pointed, null);
      stage.say(`${chosen.title}${where}: ${shortShape(chosen, tokens) || values.here}; ${chosen.parameters ? `${shareOf(learned(chosen), total)} of what is learned` : "nothing learned"}`);
      stage.showCode(picture, inCode(chosen, layer));
      set(stage.root, { "data-chosen": chosen.name });
    },

    fit() {},

    point(token) {
      if (token === pointed) return;
      pointed = token;
      stage.drawSoon();
    },

    tables: () => [
      {
        title: "parts",
        rows: () => [["part", "of this text", "learned numbers, all layers", "file"], ...parts().map((one) => [one.title, shapeOf(one, picture.tokens.length), String(learned(one)), `bloomlab/${one.file}`])],
      },
    ],
  };
}

export default {
  render: (/** @type {{model: any, el: HTMLElement}} */ view) => viewFrame({ ...view, name: "map", makePanel: mapPanel }),
};
