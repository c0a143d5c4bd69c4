// @ts-check
// Where a panel's pieces stand, the same in every panel: what to choose from, the picture, the numbers of what is chosen,
// and behind "more" what does not fit on one screen. theme.css says how wide each is.
//
// What tests can rely on: [data-zone="which | where | why | more"] inside [data-panel="NAME"]
import { make, pushButton, set } from "./dom.js";

/**
 * @typedef {{which: HTMLElement, where: HTMLElement, why: HTMLElement, more: HTMLElement}} Zones
 */

/**
 * @param {HTMLElement} body of a panel
 * @returns {Zones}
 */
export function zonesIn(body) {
  const zone = (/** @type {string[]} */ [name, says]) => make("div", { class: "bl-zone", "data-zone": name, role: "group", "aria-label": says });
  const [which, where, why] = [
    ["which", "what to choose from"],
    ["where", "the picture"],
    ["why", "the numbers of what is chosen"],
  ].map(zone);
  const more = make("div", { class: "bl-more", "data-zone": "more" });
  body.append(make("div", { class: "bl-zones" }, which, where, why), more);
  return { which, where, why, more };
}

/**
 * A zone that scrolls takes the keys that scroll it; one that does not is no stop on the way.
 * @param {HTMLElement} root
 */
export function reachZones(root) {
  for (const zone of root.querySelectorAll(".bl-zone")) {
    const scrolls = zone.scrollHeight > zone.clientHeight + 1;
    set(zone, { tabindex: scrolls && "0", "data-lm-suppress-shortcuts": scrolls && "true" });
  }
}

const PROJECTOR = 1.5; // from this scale on, two zones fit beside each other
const NARROW = 632; // pixels: an output of 600 and what stands around it
const WIDE = 980; // pixels at scale 1: there is room for what stands behind "more"

/**
 * How much room there is.
 * @param {number} width in pixels
 * @param {number} scale
 * @param {boolean} compact one screen, however wide it is
 * @returns {"narrow" | "projector" | "normal" | "wide"}
 */
export function roomOf(width, scale, compact = false) {
  if (width <= NARROW) return "narrow";
  if (width >= WIDE * scale && !compact) return "wide";
  return scale >= PROJECTOR ? "projector" : "normal";
}

/**
 * Whether we stand on a slide: of reveal.js, as nbconvert and RISE make them, or marimo, in whose page we are under a
 * shadow root.
 * @param {Element} element
 * @returns {boolean}
 */
export function onSlide(element) {
  const { host } = /** @type {ShadowRoot} */ (element.getRootNode());
  return element.closest(".reveal") !== null || (host !== undefined && onSlide(host));
}

/**
 * What one chooses from, in a line: layer ‹ 3 › head ‹ 4 ›. It stands over the picture where there is no room beside it.
 * @param {{get: (trait: string) => any, choose: (places: Record<string, any>) => void}} stage
 * @param {string[]} traits "layer", "head"
 */
export function stepper({ get, choose }, traits) {
  const steps = traits.map((trait) => {
    const number = make("output", { class: "bl-step", "data-step": trait });
    const button = (/** @type {number} */ by, /** @type {string} */ mark, /** @type {string} */ says) =>
      pushButton(mark, { class: "bl-button bl-plain", "aria-label": `${says} ${trait}`, "data-by": by }, () => choose({ [trait]: get(trait) + by }));
    return { trait, number, back: button(-1, "‹", "the previous"), on: button(1, "›", "the next") };
  });
  return {
    element: make("p", { class: "bl-stepper", "data-part": "stepper" }, ...steps.map(({ trait, number, back, on }) => make("span", {}, `${trait} `, back, number, on))),

    /** @param {Record<string, number>} ends how many there are of each */
    mark(ends) {
      for (const { trait, number, back, on } of steps) {
        const at = get(trait);
        number.textContent = String(at);
        back.disabled = at <= 0;
        on.disabled = at >= ends[trait] - 1;
      }
    },
  };
}
