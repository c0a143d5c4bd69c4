// @ts-check
// A share of every head of every layer, as a rectangle of colours: layers downwards, heads across.
import { PROBABILITY_COLOURS, probabilityStep } from "../lib/colours.js";
import { make, set } from "../lib/dom.js";
import { fixed } from "../lib/numbers.js";

/** @param {number} share */
function shareColour(share) {
  const step = 3 * probabilityStep(share * share); // the scale takes a root; shares are shown evenly
  return PROBABILITY_COLOURS.subarray(step, step + 3);
}

/**
 * @param {{part: string, says: string, pick: (layer: number, head: number) => void,
 *   point: (place: {layer: number, head: number} | null) => void}} options
 */
export function headCells({ part, says, pick, point }) {
  const canvas = make("canvas", { class: "bl-cells-canvas", "aria-hidden": "true", "data-part": `${part}-canvas` });
  const picked = make("span", { class: "bl-cells-picked", "aria-hidden": "true" });
  const element = make(
    "div",
    {
      class: "bl-head-cells",
      role: "application",
      tabindex: 0,
      "aria-roledescription": "heads of all layers",
      "aria-label": says,
      "data-lm-suppress-shortcuts": "true",
      "data-part": part,
    },
    canvas,
    picked,
  );
  let layers = 1;
  let heads = 1;
  let wordsOf = (/** @type {number} */ _) => "";
  let chosen = { layer: 0, head: 0 };

  const placeOf = (/** @type {MouseEvent} */ event) => {
    const box = element.getBoundingClientRect();
    const layer = Math.floor(((event.clientY - box.top) / box.height) * layers);
    const head = Math.floor(((event.clientX - box.left) / box.width) * heads);
    return layer >= 0 && layer < layers && head >= 0 && head < heads ? { layer, head } : null;
  };
  element.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => point(placeOf(event)));
  element.addEventListener("pointerleave", () => point(null));
  element.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const place = placeOf(event);
    if (place) pick(place.layer, place.head);
  });

  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const [layer, head] = [chosen.layer + step[0], chosen.head + step[1]];
    if (layer >= 0 && layer < layers && head >= 0 && head < heads) pick(layer, head);
  });

  return {
    element,

    /**
     * @param {Float32Array} values (layer, head), shares from 0 to 1 if nothing else is said
     * @param {number} nLayers @param {number} nHeads
     * @param {{colour: (value: number, i: number) => ArrayLike<number>, words: (i: number) => string}} [how] a cell's
     */
    show(values, nLayers, nHeads, { colour, words } = { colour: shareColour, words: (i) => fixed(values[i], 2) }) {
      [layers, heads, wordsOf] = [nLayers, nHeads, words];
      canvas.width = heads;
      canvas.height = layers;
      element.style.setProperty("--bl-heads", String(heads));
      element.style.setProperty("--bl-layers", String(layers));
      const brush = canvas.getContext("2d");
      const image = brush.createImageData(heads, layers);
      values.forEach((value, i) => image.data.set([...Array.from(colour(value, i)), 255], 4 * i));
      brush.putImageData(image, 0, 0);
    },

    /** @param {{layer: number, head: number}} place */
    mark({ layer, head }) {
      chosen = { layer, head };
      set(element, { "aria-label": `${says}; arrow keys choose a head. Layer ${layer}, head ${head}: ${wordsOf(layer * heads + head)}` });
      picked.style.setProperty("--bl-x", String(head));
      picked.style.setProperty("--bl-y", String(layer));
    },
  };
}
