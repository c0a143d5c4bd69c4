// @ts-check
// The map in one line: the parts from the text to the next token, one of them lit. It stands at the head of a lesson.
//
// What tests can rely on:
//   .bloomlab[data-view="map"][data-level="small"]   the root, while this form is shown; data-chosen: the lit part
//   [data-part="small-map"]                  the line; arrow keys go through the parts
//   [data-part="small-map"] [data-box="text | tokens | …"]   a part; pressed: lit. A click lights it and says what it does
import { make, pushButton, set } from "../lib/dom.js";

const IN_A_LAYER = ["attn", "alibi", "mlp", "stream"];

/**
 * What the code names: where a part is read, and its axes. Of one that makes no tensor, the embedding.
 * @param {{spot: string, axes: any[]}} part @param {number} layer
 */
export function inCode({ spot, axes }, layer) {
  const where = JSON.stringify((spot || "embed").replace("{layer}", String(layer))).replaceAll('"', "'");
  return { spot: where, axes: spot ? axes.map(([axis]) => axis).join(", ") : "pos, hidden" };
}

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @returns {import("../lib/frame.js").Panel}
 */
export function smallMap(stage) {
  let picture = /** @type {any} */ (null);
  let boxes = /** @type {Record<string, HTMLElement>} */ ({});
  let made = /** @type {unknown} */ (null);
  const line = make("div", { class: "bl-small-map", role: "group", "aria-label": "the model, from the text to the next token", "data-part": "small-map" });
  line.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const order = Object.keys(boxes);
    const at = order.indexOf(/** @type {HTMLElement} */ (event.target).dataset.box ?? "");
    if (step === undefined || at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const to = order[Math.min(order.length - 1, Math.max(0, at + step))];
    boxes[to].focus();
    stage.choose({ part: to });
  });
  stage.where.append(line);
  stage.listen("change:part change:parts", stage.drawOnce);

  /** @param {any[]} parts */
  function build(parts) {
    made = parts;
    boxes = Object.fromEntries(parts.map(({ name, title }) => [name, pushButton(title, { class: "bl-box", "data-box": name }, () => stage.choose({ part: name }))]));
    const layer = make("div", { class: "bl-small-layer", role: "group", "aria-label": "one layer" }, make("span", { class: "bl-how" }, `${picture.layers} layers`), ...IN_A_LAYER.map((name) => boxes[name]));
    const around = parts.filter(({ name }) => !IN_A_LAYER.includes(name)).map(({ name }) => boxes[name]);
    const arrow = () => make("span", { class: "bl-how", "aria-hidden": "true" }, "→");
    const before = around.slice(0, 3).flatMap((box) => [box, arrow()]);
    const behind = around.slice(3).flatMap((box) => [arrow(), box]);
    line.replaceChildren(...before, layer, ...behind);
  }

  return {
    show(another) {
      picture = another;
    },

    draw() {
      const parts = stage.get("parts");
      if (parts !== made) build(parts);
      const chosen = parts.find((/** @type {any} */ { name }) => name === stage.get("part")) ?? parts[0];
      for (const [name, box] of Object.entries(boxes)) set(box, { "aria-pressed": String(name === chosen.name) });
      stage.say(make("strong", {}, chosen.title), `: ${chosen.does}`);
      set(stage.root, { "data-chosen": chosen.name });
      stage.mark({ query: stage.get("query"), key: -1 }, null, null);
      stage.showCode(picture, inCode(chosen, stage.get("layer")));
    },

    fit() {},
    point() {},
  };
}
