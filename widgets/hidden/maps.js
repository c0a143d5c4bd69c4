// @ts-check
// Two pictures of directions: how alike the states of one token are, and where the tokens lie at one state.
import { paintCausal, signedStep } from "../lib/colours.js";
import { make, quoted, set, themeLength } from "../lib/dom.js";
import { legend } from "../lib/legend.js";
import { fixed } from "../lib/numbers.js";
import { partName, stateName } from "../lib/states.js";

/**
 * The cosines between all states of one token.
 * @param {{pick: (row: number) => void}} listeners
 */
export function stateTurns({ pick }) {
  const canvas = make("canvas", { class: "bl-canvas", "aria-hidden": "true", "data-part": "turns-canvas" });
  const picked = make("span", { class: "bl-turn-picked" });
  const box = make(
    "div",
    {
      class: "bl-turns",
      role: "application",
      tabindex: 0,
      "aria-roledescription": "cosines between states",
      "aria-label": "up and down choose a state, left and right which to compare it with",
      "data-lm-suppress-shortcuts": "true",
      "data-part": "turns",
    },
    canvas,
    picked,
  );
  const rows = make("div", { class: "bl-turns-names", "aria-hidden": "true" });
  const says = make("p", { class: "bl-how", "aria-live": "polite", "data-part": "turn" });
  const scale = legend();
  const who = make("span", { class: "bl-how" });
  const title = make("h3", { class: "bl-title" }, "how the vector turns ", who);
  const axes = make("p", { class: "bl-how" }, "the state after … ↓ · an earlier one, in the same order →");
  const square = make("div", { class: "bl-turns-frame" }, rows, box);
  const element = make("section", { class: "bl-panel bl-panel-turns", "aria-label": "how the vector turns" }, title, axes, square, scale.element, says);
  let states = /** @type {string[]} */ ([]);
  let cosine = /** @type {(one: number, other: number) => number} */ (() => NaN);
  let pair = { row: 0, other: 0 };
  let under = /** @type {typeof pair | null} */ (null);

  const tell = () => {
    const { row, other } = under ?? pair;
    const value = fixed(cosine(row, other));
    set(box, { "data-row": row, "data-other": other });
    says.textContent = row === other ? `${stateName(states[row])} with itself: ${value}` : `${stateName(states[row])} and ${stateName(states[other])}: cosine ${value}`;
    picked.style.setProperty("--bl-row", String(row));
    picked.style.setProperty("--bl-column", String(other));
    for (const [place, name] of [...rows.children].entries()) set(name, { "data-picked": place === row || place === other });
  };
  /** The name of each state whose row has the height for it: all, every second, third, … */
  const nameRows = () => {
    const every = Math.max(1, Math.ceil((themeLength(box, "--bl-readable") * states.length) / Math.max(1, box.clientHeight)));
    rows.replaceChildren(...states.map((label, row) => make("span", {}, row % every ? "" : partName(label))));
  };
  const placeUnder = (/** @type {MouseEvent} */ event) => {
    const size = canvas.getBoundingClientRect();
    const other = Math.floor(((event.clientX - size.left) / size.width) * states.length);
    const row = Math.floor(((event.clientY - size.top) / size.height) * states.length);
    return other >= 0 && other <= row && row < states.length ? { row, other } : null;
  };
  box.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    under = placeUnder(event);
    tell();
  });
  box.addEventListener("pointerleave", () => {
    under = null;
    tell();
  });
  box.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const place = placeUnder(event);
    if (!place) return;
    pair = place;
    pick(place.row);
  });
  box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const row = Math.min(states.length - 1, Math.max(0, pair.row + step[0]));
    pair = { row, other: Math.min(row, Math.max(0, pair.other + step[1])) };
    pick(row);
    tell();
  });

  return {
    element,

    /**
     * @param {string[]} labels
     * @param {number} token
     * @param {string} name
     * @param {Uint8Array} colours
     * @param {(one: number, other: number) => number} of
     */
    show(labels, token, name, colours, of) {
      states = labels;
      cosine = of;
      who.replaceChildren(`cosine between its states · token ${token} `, quoted(name));
      square.style.setProperty("--bl-count", String(labels.length));
      nameRows();
      paintCausal(canvas, labels.length, colours, (_, row, other) => signedStep(of(row, other), 1));
      scale.show(colours, "cosine", [[0, "−1 opposite"], [0.5, "0"], [1, "1 same way"]]);
      tell();
    },

    /** @param {number} row */
    mark(row) {
      pair = { row, other: Math.min(pair.other, row) };
      tell();
    },
  };
}

/**
 * Where the tokens lie at one state: the plane in which they are farthest apart (PCA).
 * @param {{id: string, pick: (token: number) => void, step: (row: number) => void}} listeners
 */
export function tokenMap({ id, pick, step }) {
  const plane = make("div", { class: "bl-plane", role: "img", "data-part": "map" });
  const slider = make("input", {
    type: "range",
    min: 0,
    class: "bl-slider",
    id: `${id}-slider`,
    "data-lm-suppress-shortcuts": "true",
    "data-part": "slider",
  });
  const where = make("output", { class: "bl-how", for: `${id}-slider` });
  const shows = make("p", { class: "bl-how", "data-part": "explained" });
  const element = make(
    "section",
    { class: "bl-panel bl-panel-map", "aria-label": "map of the tokens" },
    make("h3", { class: "bl-title" }, "where the tokens lie ", make("span", { class: "bl-how" }, "PCA map")),
    make("div", { class: "bl-slide" }, make("label", { class: "bl-how", for: `${id}-slider` }, "at state "), slider, where),
    plane,
    shows,
  );
  /** @type {any[]} */
  let dots = [];
  slider.addEventListener("input", () => step(Number(slider.value)));
  plane.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const dot = /** @type {Element} */ (event.target).closest("[data-dot]");
    if (dot) pick(Number(dot.getAttribute("data-dot")));
  });

  /**
   * A label stands to the right of its dot, else to the left, else it stays away: none covers a dot or another label,
   * or leaves the map. The selected one comes first and is always there.
   */
  const layLabels = (/** @type {number} */ token) => {
    const frame = plane.getBoundingClientRect();
    const boxesOf = (/** @type {boolean} */ left) => {
      for (const dot of dots) set(dot, { "data-left": left });
      return dots.map((dot) => dot.lastChild.getBoundingClientRect()); // read together: the page is laid out once
    };
    const sides = [boxesOf(false), boxesOf(true)];
    const spots = /** @type {DOMRect[]} */ (dots.map((dot) => dot.firstChild.getBoundingClientRect()));
    const names = /** @type {DOMRect[]} */ ([]);
    const meet = (/** @type {DOMRect} */ one, /** @type {DOMRect} */ other) =>
      one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
    for (const i of new Set([token, ...dots.keys()])) {
      const free = sides.map(
        (side) =>
          side[i].left >= frame.left && side[i].right <= frame.right && !names.some((name) => meet(side[i], name)) && !spots.some((spot, j) => j !== i && meet(side[i], spot)),
      );
      const left = !free[0] && (free[1] || sides[0][i].right > frame.right);
      const shown = free.some(Boolean) || i === token;
      set(dots[i], { "data-left": left, "data-quiet": !shown });
      if (shown) names.push(sides[Number(left)][i]);
    }
  };

  return {
    element,

    /** @param {string[]} names @param {number} states */
    show(names, states) {
      set(slider, { max: states - 1 });
      dots = names.map((name, token) =>
        make("span", { class: "bl-place", "data-dot": token, title: `token ${token}: ${name}` }, make("span", { class: "bl-spot" }), make("bdi", { class: "bl-token" }, name)),
      );
      plane.replaceChildren(...dots);
    },

    /**
     * @param {string} label of the state
     * @param {number} row
     * @param {Float32Array} points x, y of each token at this state
     * @param {number[]} explained
     * @param {number} token the selected one
     * @param {number | null} pointed
     */
    mark(label, row, points, explained, token, pointed) {
      slider.value = String(row);
      set(slider, { "aria-valuetext": stateName(label) });
      where.textContent = stateName(label);
      const ends = [0, 1].map((axis) => {
        const values = dots.map((_, i) => points[2 * i + axis]);
        return [Math.min(...values), Math.max(...values)];
      });
      const middle = ends.map(([low, high]) => (low + high) / 2);
      // one scale for both axes, so that distances can be compared; the plane is 4 wide and 3 high
      const span = Math.max((ends[0][1] - ends[0][0]) / 4, (ends[1][1] - ends[1][0]) / 3) || 1;
      const part = (/** @type {number} */ value, /** @type {number} */ axis) => ((value - middle[axis]) / span / (axis ? 3 : 4)).toFixed(4);
      dots.forEach((dot, i) => {
        dot.style.setProperty("--bl-x", part(points[2 * i], 0));
        dot.style.setProperty("--bl-y", part(points[2 * i + 1], 1));
        set(dot, { "data-picked": i === token, "data-pointed": i === pointed });
      });
      plane.style.setProperty("--bl-zero-x", part(0, 0));
      plane.style.setProperty("--bl-zero-y", part(0, 1));
      if (dots.length && plane.clientWidth > 0) layLabels(token);
      const [across, up] = explained.map((share) => fixed(100 * share, 0));
      shows.textContent = `across shows ${across} %, up ${up} % of how the ${dots.length} vectors differ; each state has axes of its own`;
      set(plane, { "aria-label": `map of ${dots.length} tokens, ${stateName(label)}`, "data-row": row });
    },
  };
}
