// @ts-check
// Building a page out of elements and text. Text is only ever text: nothing here reads HTML.
import { visible } from "../model/visible.js";

/**
 * An element with attributes and children; a string becomes a text node.
 * @param {string} tag
 * @param {Record<string, string | number | boolean>} [attributes] true sets an empty attribute, false none
 * @param {...(Node | string)} children
 * @returns {any} the element (`any`, so that its own members can be used without a cast)
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children);
  return element;
}

/**
 * Set attributes; a value that is already there is left alone.
 * @param {Element} element
 * @param {Record<string, string | number | boolean>} attributes
 */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value === true ? "" : value)) {
      element.setAttribute(name, String(value === true ? "" : value));
    }
  }
}

/**
 * A button. Like everything that takes keys, it keeps them from the notebook (Enter would edit the cell).
 * @param {string} text
 * @param {Record<string, string | number | boolean>} attributes
 * @param {() => void} press
 * @returns {HTMLButtonElement}
 */
export function pushButton(text, attributes, press) {
  const button = make("button", { class: "bl-button", type: "button", "data-lm-suppress-shortcuts": "true", ...attributes }, text);
  button.addEventListener("click", press);
  return button;
}

/**
 * A rule that hides a view's still, a second output, for as long as the view itself is in the page (shared/beside.py).
 * The view's name may come after the view, where the kernel is slow.
 * @param {any} model
 * @param {HTMLElement} el
 * @returns {() => void}  takes it away
 */
export function insteadOfStill(model, el) {
  const rule = make("style", {});
  const hide = () => {
    const name = String(model.get("name"));
    if (!/^[0-9a-f]+$/.test(name)) return; // in a saved page there is none
    rule.textContent = `.bl-still-${name}, .jp-OutputArea-child:has(.bl-still-${name}) { display: none }`;
    el.append(rule);
  };
  model.on("change:name", hide);
  hide();
  return () => {
    model.off("change:name", hide);
    rule.remove();
  };
}

/**
 * Someone else's text inside ours: <bdi> keeps its writing direction to itself.
 * @param {string} text
 * @returns {HTMLElement}
 */
export function quoted(text) {
  return make("bdi", { class: "bl-token" }, text);
}

/**
 * A token of a vocabulary inside our text. The space before a word needs no mark there; a line's end alone does.
 * @param {string} token
 */
export function quotedToken(token) {
  return quoted(visible(token).replace(/^·(?=.)/s, ""));
}

/**
 * The same for an attribute, where there are no elements: the invisible marks "first strong isolate" and its end.
 * @param {string} text
 */
export function isolated(text) {
  return `\u2068${text}\u2069`;
}

/**
 * The direction a text is read in, by its first letter that has one (what dir="auto" does).
 * @param {string} text
 * @returns {"ltr" | "rtl"}
 */
export function direction(text) {
  const letter = /\p{L}/u.exec(text);
  return letter && /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u.test(letter[0])
    ? "rtl"
    : "ltr";
}

/**
 * What a custom property of the theme comes to, as a colour [red, green, blue] of 0 to 255.
 * @param {Element} inside
 * @param {string} name
 * @returns {number[]}
 */
export function themeColour(inside, name) {
  const found = colours.get(inside)?.get(name);
  if (found) return found;
  const canvas = /** @type {any} */ (document.createElement("canvas").getContext("2d"));
  canvas.fillStyle = themeValues(inside, "color", [name])[0];
  canvas.fillRect(0, 0, 1, 1);
  const colour = [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  if (inside.isConnected) colours.set(inside, (colours.get(inside) ?? new Map()).set(name, colour)); // elsewhere there is no theme yet
  return colour;
}

let colours = /** @type {WeakMap<Element, Map<string, number[]>>} */ (new WeakMap()); // to look one up lays out the whole page anew

/** The theme has changed, or may have. */
export function forgetColours() {
  colours = new WeakMap();
}

/**
 * What a custom property of the theme comes to, as a length in pixels.
 * @param {Element} inside
 * @param {string} name
 */
export function themeLength(inside, name) {
  return themeLengths(inside, name)[0];
}

/** Several of them at once, since each look at the theme works out the styles anew. @param {Element} inside @param {string[]} names */
export function themeLengths(inside, ...names) {
  return themeValues(inside, "width", names).map(parseFloat);
}

/**
 * @param {Element} inside
 * @param {string} property
 * @param {string[]} names
 */
function themeValues(inside, property, names) {
  const probes = names.map((name) => {
    const probe = make("span", { hidden: true });
    probe.style.setProperty("position", "absolute");
    probe.style.setProperty(property, `var(${name})`);
    return probe;
  });
  inside.append(...probes);
  const values = probes.map((probe) => getComputedStyle(probe).getPropertyValue(property));
  for (const probe of probes) probe.remove();
  return values;
}

/**
 * Call a function no more than once in `pause` milliseconds, with the last arguments only.
 * @template {any[]} T
 * @param {number} pause
 * @param {(...args: T) => void} call
 */
export function lastOf(pause, call) {
  let timer = 0;
  const later = (/** @type {T} */ ...args) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => call(...args), pause);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}

/**
 * Scrolls a grid, whose first row and column stay, until a cell is in sight: once for each cell and each size of the
 * grid, so that a person may scroll on.
 * @param {any} grid
 */
export function sightOf(grid) {
  let kept = "";
  return {
    forget() {
      kept = "";
    },

    /** @param {any} cell */
    keep(cell) {
      const now = `${cell.id} ${grid.clientWidth} ${grid.clientHeight} ${grid.scrollWidth}`;
      if (kept === now || grid.clientWidth === 0) return;
      kept = now;
      const [box, place] = [grid.getBoundingClientRect(), cell.getBoundingClientRect()];
      const [left, top] = [box.left + grid.firstChild.firstChild.offsetWidth, box.top + grid.firstChild.offsetHeight];
      if (place.left < left) grid.scrollLeft -= left - place.left;
      else if (place.right > box.left + grid.clientWidth) grid.scrollLeft += place.right - box.left - grid.clientWidth;
      if (place.top < top) grid.scrollTop -= top - place.top;
      else if (place.bottom > box.top + grid.clientHeight) grid.scrollTop += place.bottom - box.top - grid.clientHeight;
    },
  };
}
