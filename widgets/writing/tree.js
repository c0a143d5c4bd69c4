// @ts-check
// The tree of what was written, worked out from what Python sends; and its branches as a list to choose from.
import { isolated, make, quoted, set } from "../lib/dom.js";
import { fixed, probability } from "../lib/numbers.js";

/**
 * @typedef {{prompt: string, parents: number[], ids: number[], shown: string[], flow: string[], log_probs: number[],
 *   how: string[], norms: number[][][], rows: number[][], settings: string, searches: boolean, message: string}} Tree
 */

/**
 * The nodes written on the way to one, the prompt not among them.
 * @param {{parents: number[]}} tree
 * @param {number} at
 */
export function pathTo(tree, at) {
  const way = [];
  for (let node = at; node > 0; node = tree.parents[node]) way.push(node);
  return way.reverse();
}

/**
 * How likely all that was written on the way is: its log-probability, and how many tokens that are.
 * @param {Tree} tree
 * @param {number[]} path
 */
export function likelihood(tree, path) {
  const log = path.reduce((sum, node) => sum + tree.log_probs[node], 0);
  return { log, p: Math.exp(log), nats: path.length ? -log / path.length : NaN };
}

/**
 * The row of a node, and how many forks stand before each row.
 * @param {Tree} tree
 */
export function rowsOf(tree) {
  const rowOf = /** @type {number[]} */ ([]);
  const levels = tree.rows.map(() => 0);
  tree.rows.forEach((row, number) => {
    for (const node of row) rowOf[node] = number;
    const parent = tree.parents[row[0]];
    if (parent > 0) levels[number] = levels[rowOf[parent]] + 1;
  });
  return { rowOf, levels };
}

/**
 * @param {{id: string, go: (node: number) => void}} options
 */
export function branchList({ id, go }) {
  const list = make("div", {
    class: "bl-branches",
    role: "listbox",
    tabindex: 0,
    "aria-label": "branches; arrow keys go from one to the next",
    "data-lm-suppress-shortcuts": "true",
    "data-part": "branches",
  });
  let shown = /** @type {Tree | null} */ (null);
  let chosen = 0;
  let names = /** @type {string[]} */ ([]);

  list.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const row = /** @type {Element} */ (event.target).closest("[data-end]");
    if (row) go(Number(row.getAttribute("data-end")));
  });
  list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (!shown || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = { ArrowUp: chosen - 1, ArrowDown: chosen + 1, Home: 0, End: shown.rows.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const row = shown.rows[Math.min(shown.rows.length - 1, Math.max(0, to))];
    go(row[row.length - 1]);
  });

  return {
    element: list,

    /** @param {Tree} tree @param {number} at @param {number} pinned the node of the branch that is compared with; or -1 */
    show(tree, at, pinned) {
      const { rowOf, levels } = rowsOf(tree);
      chosen = rowOf[at];
      if (shown !== tree) {
        shown = tree;
        names = [];
        list.replaceChildren(
          ...tree.rows.map((row, number) => {
            const end = row[row.length - 1];
            const path = pathTo(tree, end);
            const text = number === 0 ? tree.prompt : row.map((node) => tree.flow[node] || (node === end ? tree.shown[node] : "")).join("");
            const { p, nats } = likelihood(tree, path);
            const numbers = number === 0 ? "what was given" : `p ${probability(p)} · ${fixed(nats, 2)} nats a token`;
            const option = make(
              "div",
              { class: "bl-branch", role: "option", id: `${id}-row-${number}`, "data-end": end, "aria-label": (names[number] = `${isolated(text)}, ${numbers}`) },
              make("bdi", { class: "bl-branch-text", dir: "auto", "aria-hidden": "true" }, text),
              make("span", { class: "bl-how", "aria-hidden": "true" }, numbers),
            );
            option.style.setProperty("--bl-level", String(levels[number]));
            return option;
          }),
        );
      }
      [...list.children].forEach((option, number) => {
        const here = pinned >= 0 && number === rowOf[pinned];
        set(option, { "aria-selected": String(number === chosen), "data-pinned": here, "aria-label": `${names[number]}${here ? ", compared with" : ""}` });
      });
      const option = /** @type {any} */ (list.children[chosen]);
      set(list, { "aria-activedescendant": option.id });
      const [box, place] = [list.getBoundingClientRect(), option.getBoundingClientRect()];
      if (place.top < box.top) list.scrollTop -= box.top - place.top;
      else if (place.bottom > box.bottom) list.scrollTop += place.bottom - box.bottom;
    },
  };
}

/**
 * The text as it is written: what was given, then a piece for each token, those after the place where it stands paler.
 * @param {{id: string, go: (node: number) => void, direction: (text: string) => "ltr" | "rtl"}} options
 */
export function writtenText({ id, go, direction }) {
  const text = make("div", {
    class: "bl-written",
    role: "listbox",
    tabindex: 0,
    "aria-label": "what is written; arrow keys go back and on",
    "aria-orientation": "horizontal",
    "data-lm-suppress-shortcuts": "true",
    "data-part": "written",
  });
  let way = /** @type {number[]} */ ([0]);
  let stands = 0;
  let shown = /** @type {[Tree, number] | null} */ (null);

  text.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const piece = /** @type {Element} */ (event.target).closest("[data-node]");
    if (piece) go(Number(piece.getAttribute("data-node")));
  });
  text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const [on, back] = text.dir === "rtl" ? ["ArrowLeft", "ArrowRight"] : ["ArrowRight", "ArrowLeft"];
    const place = way.indexOf(stands);
    const to = { [on]: place + 1, [back]: place - 1, Home: 0, End: way.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    if (to >= 0 && to < way.length) go(way[to]);
  });

  return {
    element: text,

    /** @param {Tree} tree @param {number} at @param {number} parts how many tokens are those of the text it is compared with */
    show(tree, at, parts) {
      const { rowOf } = rowsOf(tree);
      const row = tree.rows[rowOf[at]];
      const end = row[row.length - 1];
      stands = at;
      if (shown?.[0] !== tree || shown[1] !== end) {
        shown = [tree, end];
        way = [0, ...pathTo(tree, end)];
        text.dir = direction(tree.prompt + tree.flow.join(""));
        text.replaceChildren(
          ...way.map((node) => {
            const p = Math.exp(tree.log_probs[node]);
            const last = node === end && !tree.flow[node]; // half a character: what is there of it
            const piece = make(
              "span",
              {
                class: node ? "bl-piece" : "bl-given",
                role: "option",
                id: `${id}-node-${node}`,
                "data-node": node,
                ...(node ? { title: `p ${probability(p)}, ${tree.how[node]}`, "aria-label": `${isolated(tree.shown[node])}, p ${probability(p)}, ${tree.how[node]}` } : {}),
              },
              node === 0 ? tree.prompt : last ? tree.shown[node] : tree.flow[node],
            );
            piece.style.setProperty("--bl-part", p.toFixed(3));
            return piece;
          }),
        );
      }
      const place = way.indexOf(at);
      [...text.children].forEach((piece, i) => set(piece, { "aria-selected": String(i === place), "data-later": i > place, "data-parts": i - 1 === parts }));
      set(text, { "aria-activedescendant": `${id}-node-${at}` });
      const piece = /** @type {any} */ (text.children[place]);
      const [box, spot] = [text.getBoundingClientRect(), piece.getBoundingClientRect()];
      if (spot.bottom > box.bottom) text.scrollTop += spot.bottom - box.bottom;
      else if (spot.bottom < box.top + spot.height / way.length) text.scrollTop -= box.top - spot.top;
    },
  };
}

/** A token's name and how it came about, for the line below. @param {Tree} tree @param {number} node @param {any} came */
export function cameAbout(tree, node, came) {
  if (!came) return ["nothing is written yet"];
  const drawn = came.number === null ? "" : ` → ${probability(came.after)} by the settings; its number: ${probability(came.number)}`;
  const how = came.how === "by hand" ? "taken by hand" : came.how === "beam" ? "found by beams" : came.how;
  return [quoted(tree.shown[node]), ` ${how}, rank ${came.rank}: p ${probability(came.p)}${drawn}`];
}
