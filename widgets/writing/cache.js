// @ts-check
// The cache: a cell for each layer and token, what it takes and saves, and what goes with the cells that go.
import { PROBABILITY_COLOURS } from "../lib/colours.js";
import { make, quoted, set } from "../lib/dom.js";
import { fixed, scientific } from "../lib/numbers.js";
import { toggles } from "../lib/toggles.js";
import { pathTo } from "./tree.js";

const KEEP = [
  ["all", "all of it", ""],
  ["without the oldest", "without the oldest", "the first token goes"],
  ["window", "the last", "only a window is left"],
  ["first and window", "the first and the last", "the first token and a window are left"],
  ["read afresh", "none: read afresh", "the same step without a cache"],
  ["of the other text", "that of the other text", "keys and values of the text that this one is compared with, all but the newest token's"],
];
const FACTS = [
  ["bytes", "takes", ""],
  ["bytes_far", "at 2,048 tokens", ""],
  ["with", "multiplications", "of this step"],
  ["without", "without a cache", ""],
];

/** @param {number} bytes */
export function bytesName(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  let power = 0;
  for (let left = bytes; left >= 1000 && power < 3; left /= 1000) power++;
  return power ? `${fixed(bytes / 1000 ** power, bytes / 1000 ** power < 100 ? 1 : 0)} ${units[power]}` : `${bytes} ${units[0]}`;
}

/** 1,193,984 as 1.2 million. @param {number} count */
export function countName(count) {
  if (count < 1e5) return count.toLocaleString("en");
  const [size, word] = count >= 1e9 ? [1e9, "billion"] : [1e6, "million"];
  return `${fixed(count / size, 1)} ${word}`;
}

/** @param {{id: string, keep: (value: string) => void, widen: (value: number) => void}} options */
export function cacheLedger({ id, keep, widen }) {
  const canvas = make("canvas", { class: "bl-cells", role: "img", "data-part": "cells" });
  const cells = Object.fromEntries(FACTS.map(([name]) => [name, make("td", { class: "bl-value", "data-fact": name })]));
  const choices = toggles({ id: `${id}-keep`, says: "what is left of the cache", choices: KEEP, choose: keep });
  const window = make("input", { class: "bl-factor", type: "number", min: 1, step: 1, "aria-label": "how many of the last tokens are left", "data-lm-suppress-shortcuts": "true", "data-part": "window" });
  window.addEventListener("change", () => {
    if (window.value !== "") widen(Math.max(1, Math.round(Number(window.value))));
  });
  const says = make("p", { class: "bl-note", role: "status", "data-part": "cache-says" });
  const title = make("h3", { class: "bl-title" }, "the cache ", make("span", { class: "bl-how" }, "keys and values, layer × token"));
  const element = make(
    "section",
    { class: "bl-panel", "aria-label": "cache" },
    title,
    canvas,
    make("p", { class: "bl-how" }, "Brighter: longer values. Empty: not there."),
    make("table", { class: "bl-facts" }, make("tbody", {}, ...FACTS.map(([name, word, plain]) => make("tr", {}, make("th", { scope: "row" }, `${word} `, make("span", { class: "bl-how" }, plain)), cells[name])))),
    make("div", { class: "bl-keep" }, make("span", { class: "bl-how" }, "the next token with …"), choices.element, make("label", { class: "bl-how" }, "the last ", window, " tokens")),
    says,
  );

  return {
    element,

    /**
     * @param {any} cache of the node that Python told of last
     * @param {import("./tree.js").Tree} tree
     * @param {number} at
     * @param {{keep: string, window: number, live: boolean}} chosen
     */
    show(cache, tree, at, chosen) {
      const there = cache.node === at;
      const layers = tree.norms[0].map((row, layer) => [...row, ...pathTo(tree, at).flatMap((node) => tree.norms[node][layer])]);
      const columns = layers[0].length;
      const left = new Set([...(there ? cache.kept : layers[0].keys()), columns - 1]);
      const most = Math.max(1e-9, ...layers.flat());
      if (canvas.width !== columns || canvas.height !== layers.length) {
        canvas.width = columns;
        canvas.height = layers.length;
      }
      const brush = canvas.getContext("2d");
      const image = brush.createImageData(columns, layers.length);
      layers.forEach((row, layer) =>
        row.forEach((norm, column) => {
          const step = Math.round((255 * norm) / most);
          const here = left.has(column);
          image.data.set([...PROBABILITY_COLOURS.subarray(3 * step, 3 * step + 3), here ? 255 : 0], 4 * (layer * columns + column));
        }),
      );
      brush.putImageData(image, 0, 0);
      canvas.style.setProperty("--bl-layers", String(layers.length));
      set(canvas, { "aria-label": `${layers.length} layers × ${columns} tokens, ${left.size} of them there`, "data-columns": columns, "data-left": left.size });
      const share = (/** @type {number} */ count) => Math.round((count * columns) / cache.columns);
      cells.bytes.textContent = there ? bytesName(cache.bytes) : bytesName(share(cache.bytes));
      cells.bytes_far.textContent = bytesName(cache.bytes_far);
      cells.with.textContent = there ? countName(cache.with) : "–";
      cells.without.textContent = there ? countName(cache.without) : "–";
      choices.mark(chosen.keep);
      choices.enable(chosen.live);
      window.disabled = !chosen.live;
      if (document.activeElement !== window) window.value = String(chosen.window);
      window.parentElement.hidden = !chosen.keep.includes("window");
      says.replaceChildren(...(there && cache.keep === chosen.keep ? lost(cache) : []));
    },
  };
}

/** What the next token loses. @param {any} cache */
function lost(cache) {
  if (cache.keep === "read afresh") return [`The same step without a cache: no score differs by more than ${scientific(cache.difference)}, which is rounding.`];
  if (cache.keep === "all") return [`A step without it takes ${fixed(cache.without / cache.with, 1)} times the multiplications.`];
  if (cache.refused) return [cache.refused];
  const same = cache.said === cache.says;
  const said = same ? ["it still says ", quoted(cache.said)] : ["it says ", quoted(cache.says), " instead of ", quoted(cache.said)];
  if (cache.keep === "of the other text") return [`With the other text's keys and values${cache.parted < cache.columns - 1 ? `, other from token ${cache.parted} on` : ""}, the next token moves by ${fixed(cache.kl)} nats (KL); `, ...said, "."];
  const near = cache.keep === "first and window" ? ` The gap brings the first token nearer (ALiBi); with its distance kept: ${fixed(cache.kl_in_place)}.` : " What is left stands as far away as before (ALiBi).";
  return [`The next token moves by ${fixed(cache.kl)} nats (KL); `, ...said, ".", near];
}
