// @ts-check
// The legend under a picture: the colours, and the numbers that stand at them.
import { make } from "./dom.js";

/** A bar of 256 colours with numbers below. */
export function legend() {
  const bar = make("canvas", { class: "bl-colours", "aria-hidden": "true" });
  const ticks = make("div", { class: "bl-ticks" });
  const title = make("div", { class: "bl-legend-title" });
  const element = make("div", { class: "bl-legend", "data-part": "legend" }, title, bar, ticks);
  return {
    element,

    /**
     * @param {Uint8Array} colours
     * @param {string} says
     * @param {[number, string][]} numbers where along the bar, 0 to 1, and what stands there
     */
    show(colours, says, numbers) {
      bar.width = 256;
      bar.height = 1;
      const brush = bar.getContext("2d");
      const image = brush.createImageData(256, 1);
      for (let step = 0; step < 256; step++) {
        image.data.set([colours[3 * step], colours[3 * step + 1], colours[3 * step + 2], 255], 4 * step);
      }
      brush.putImageData(image, 0, 0);
      title.textContent = says;
      ticks.replaceChildren(
        ...numbers.map(([at, text]) => {
          const tick = make("span", { class: "bl-tick" }, text);
          tick.style.setProperty("--bl-at", String(at));
          return tick;
        }),
      );
    },
  };
}
