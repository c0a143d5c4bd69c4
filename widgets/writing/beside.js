// @ts-check
// Another text beside the one that is written: a branch that was pinned, or the run as it is. The first token at which
// the two part is marked in both, and said.
import { make, quoted, set } from "../lib/dom.js";
import { probability } from "../lib/numbers.js";
import { likelihood, pathTo } from "./tree.js";

/**
 * @typedef {{tree: import("./tree.js").Tree, way: number[]}} Written the nodes on the way, the prompt not among them
 */

/**
 * How many tokens two texts have in common before they part; the length of the shorter if one goes on as the other.
 * @param {Written} one
 * @param {Written} other
 */
export function partingOf(one, other) {
  const [ids, others] = [one, other].map(({ tree, way }) => way.map((node) => tree.ids[node]));
  const place = ids.findIndex((token, i) => token !== others[i]);
  return place < 0 ? ids.length : place;
}

/** @param {{direction: (text: string) => "ltr" | "rtl"}} options */
export function besideText({ direction }) {
  const name = make("span", { class: "bl-how" });
  const text = make("div", { class: "bl-written", tabindex: 0, role: "group", "data-lm-suppress-shortcuts": "true", "data-part": "beside-text" });
  const says = make("p", { class: "bl-note", role: "status", "data-part": "parting" });
  const element = make("div", { class: "bl-beside", "data-part": "beside" }, name, text, says);

  return {
    element,

    /**
     * @param {Written} one
     * @param {Written | null} other
     * @param {string} word what the other is
     */
    show(one, other, word) {
      element.hidden = !other;
      if (!other) return -1;
      const parts = partingOf(one, other);
      const { tree, way } = other;
      const likely = likelihood(tree, way);
      name.textContent = `${word} · p ${probability(likely.p)}`;
      set(text, { "aria-label": `${word}: what is written there`, dir: direction(tree.prompt + tree.flow.join("")) });
      text.replaceChildren(
        make("span", { class: "bl-given" }, tree.prompt),
        ...way.map((node, i) => {
          const p = Math.exp(tree.log_probs[node]);
          const last = i === way.length - 1 && !tree.flow[node];
          const piece = make("span", { class: "bl-piece", title: `p ${probability(p)}, ${tree.how[node]}`, "data-parts": i === parts }, last ? tree.shown[node] : tree.flow[node]);
          piece.style.setProperty("--bl-part", p.toFixed(3));
          return piece;
        }),
      );
      const at = (/** @type {Written} */ of) => {
        const node = of.way[parts];
        return node === undefined ? ["it stops"] : [quoted(of.tree.shown[node]), ` p ${probability(Math.exp(of.tree.log_probs[node]))}`];
      };
      const ends = parts >= one.way.length && parts >= other.way.length;
      const alike = `${parts} new ${parts === 1 ? "token" : "tokens"}`;
      says.replaceChildren(...(ends ? [`the same so far: ${alike}`] : [`they part after ${alike}: here `, ...at(one), "; there ", ...at(other)]));
      set(element, { "data-parting": ends ? false : parts });
      return ends ? -1 : parts;
    },
  };
}

/** The text of the other run that has as many new tokens. @param {{tree: import("./tree.js").Tree, at: number}} other @param {number} count */
export function asFar(other, count) {
  return { tree: other.tree, way: pathTo(other.tree, other.at).slice(0, count) };
}
