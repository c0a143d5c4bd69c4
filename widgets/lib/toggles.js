// @ts-check
// A choice of one among a few words.
import { make } from "./dom.js";

/**
 * @param {{id: string, says: string, choices: (string | number)[][], choose: (value: any) => void}} options
 *   `id` is unique on the page; each choice is its value, the word that stands there, and what that means
 */
export function toggles({ id, says, choices, choose }) {
  const inputs = choices.map(([value]) => {
    const input = make("input", { type: "radio", name: id, value, id: `${id}-${String(value).replace(/ /g, "-")}`, "data-lm-suppress-shortcuts": "true" });
    input.addEventListener("change", () => choose(value));
    return input;
  });
  const labels = choices.map(([, word, plain], i) =>
    make("label", { class: "bl-toggle", for: inputs[i].id, ...(plain ? { title: plain } : {}) }, inputs[i], String(word)),
  );
  return {
    element: make("fieldset", { class: "bl-toggles" }, make("legend", { class: "bl-hidden" }, says), ...labels),

    /** @param {boolean} possible */
    enable(possible) {
      for (const input of inputs) input.disabled = !possible;
    },

    /** @param {string[]} words that stand there from now on, one for each choice */
    rename(words) {
      labels.forEach((label, i) => {
        const word = /** @type {Text} */ (label.lastChild);
        if (word.data !== words[i]) word.data = words[i];
      });
    },

    /** @param {string | number} value the one that is chosen */
    mark(value) {
      for (const input of inputs) input.checked = input.value === String(value);
    },
  };
}
