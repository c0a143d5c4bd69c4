// @ts-check
// Every head of every layer in small: one square each, layers downwards, heads across.
import { make, set } from "../lib/dom.js";
import { everyHead, slopeName } from "../lib/numbers.js";

/**
 * @param {{pick: (layer: number, head: number) => void, point: (place: {layer: number, head: number} | null) => void}} listeners
 */
export function headGrid({ pick, point }) {
  const element = make("div", {
    class: "bl-heads",
    role: "listbox",
    tabindex: 0,
    "aria-label": "attention heads; left and right choose the head, up and down the layer",
    "data-lm-suppress-shortcuts": "true",
    "data-part": "heads",
  });
  /** @type {any[]} one option for every head of every layer */
  let options = [];
  let layers = 0;
  let heads = 0;
  let chosen = { layer: 0, head: 0 };
  let marked = /** @type {{selected?: any, under?: any}} */ ({});

  /** @param {Event} event */
  const placeUnder = (event) => {
    const option = /** @type {Element} */ (event.target).closest("[data-head]");
    return option && { layer: Number(option.getAttribute("data-layer")), head: Number(option.getAttribute("data-head")) };
  };
  element.addEventListener("pointerover", (/** @type {PointerEvent} */ event) => point(placeUnder(event)));
  element.addEventListener("pointerleave", () => point(null));
  element.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const place = placeUnder(event);
    if (place) pick(place.layer, place.head);
  });
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const layer = chosen.layer + step[0];
    const head = chosen.head + step[1];
    if (layer >= 0 && layer < layers && head >= 0 && head < heads) pick(layer, head);
  });

  return {
    element,

    /**
     * @param {import("../lib/causal.js").Picture} picture
     * @param {string} id
     */
    show(picture, id) {
      ({ layers, heads } = picture);
      element.style.setProperty("--bl-heads", String(heads));
      const corner = make("span", { class: "bl-axis", "aria-hidden": "true" }, "");
      const every = everyHead(heads);
      const numbers = Array.from({ length: heads }, (_, head) =>
        make("span", { class: "bl-axis", "aria-hidden": "true", title: `slope ${slopeName(picture.slopes[head])}` }, head % every ? "" : String(head)),
      );
      options = [];
      marked = {};
      const rows = Array.from({ length: layers }, (_, layer) => {
        const row = Array.from({ length: heads }, (_, head) => {
          const option = make(
            "span",
            {
              class: "bl-thumb",
              role: "option",
              id: `${id}-head-${layer}-${head}`,
              "data-layer": layer,
              "data-head": head,
              "aria-label": `layer ${layer}, head ${head}`,
              "aria-selected": "false",
              title: `layer ${layer}, head ${head}, slope ${slopeName(picture.slopes[head])}`,
            },
            make("canvas", { "aria-hidden": "true" }),
          );
          options.push(option);
          return option;
        });
        return make(
          "span",
          { class: "bl-layer", role: "group", "aria-label": `layer ${layer}` },
          make("span", { class: "bl-axis", "aria-hidden": "true" }, String(layer)),
          ...row,
        );
      });
      element.replaceChildren(make("span", { class: "bl-layer", role: "presentation" }, corner, ...numbers), ...rows);
    },

    /** @param {(canvas: any, layer: number, head: number) => void} draw what each square shows */
    paint(draw) {
      options.forEach((option, number) => draw(option.firstChild, Math.floor(number / heads), number % heads));
    },

    /**
     * @param {{layer: number, head: number}} place the selected head
     * @param {{layer: number, head: number} | null} pointed
     * @param {{query: number | null, key: number | null}} lines which row and column to light up in all of them
     * @param {number} tokens
     */
    mark(place, pointed, lines, tokens) {
      chosen = place;
      const selected = options[place.layer * heads + place.head];
      const under = pointed ? options[pointed.layer * heads + pointed.head] : undefined;
      for (const option of [marked.selected, marked.under]) {
        if (option) set(option, { "aria-selected": "false", "data-pointed": false });
      }
      if (selected) set(selected, { "aria-selected": "true" });
      if (under) set(under, { "data-pointed": true });
      marked = { selected, under };
      set(element, { "data-row": lines.query !== null, "data-column": lines.key !== null });
      element.style.setProperty("--bl-row", String(((lines.query ?? 0) + 0.5) / tokens));
      element.style.setProperty("--bl-column", String(((lines.key ?? 0) + 0.5) / tokens));
      if (selected) set(element, { "aria-activedescendant": selected.id });
    },
  };
}
