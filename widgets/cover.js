// @ts-check
// A question, a prediction, and only then the answer: the two side by side, and a sentence that teaches.
import { insteadOfStill, isolated, make, pushButton, set } from "./lib/dom.js";
import { toggles } from "./lib/toggles.js";

const ZEROS = [0x0660, 0x06f0, 0x0966, 0x09e6, 0xff10]; // of the digits that people write besides 0 to 9

const NEAR = 0.05; // a twentieth of the answer is near enough for a guess

/**
 * The number somebody wrote: 1,000 or 0,5 or 47 % or ٤٧; null if it is none.
 * @param {string} text
 * @returns {number | null}
 */
export function writtenNumber(text) {
  const digits = text.replace(/\p{Nd}/gu, (digit) => {
    const code = /** @type {number} */ (digit.codePointAt(0));
    const zero = ZEROS.find((start) => code >= start && code < start + 10);
    return zero === undefined ? digit : String(code - zero);
  });
  const match = /^[^\d+\-−.,]*([+\-−]?[\d.,'’_\s]*\d[\d.,'’_\s]*(?:e[+-]?\d+)?)\D*$/iu.exec(digits);
  if (!match) return null;
  const bare = match[1].replace(/[\s'’_]/gu, "").replace("−", "-");
  const grouped = /^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$/.test(bare);
  const number = Number(grouped ? bare.replaceAll(",", "") : bare.replace(/[,.]$/, "").replace(",", "."));
  return Number.isFinite(number) ? number : null;
}

/**
 * What to say of a prediction beside the answer.
 * @param {{kind: string, prediction: string, answer: string, number: number | null}} found
 * @param {(phrase: string) => string} say  a phrase in the cover's language
 * @returns {{sign: string, says: string}}
 */
export function remark({ kind, prediction, answer, number }, say = (phrase) => phrase) {
  if (!prediction) return { sign: "", says: say("nothing was predicted") };
  if (kind === "text") return { sign: "", says: say("Compare the two.") };
  const guess = kind === "number" ? writtenNumber(prediction) : null;
  if (kind === "choice" ? prediction === answer : guess === number) return { sign: "✓", says: say("You knew it.") };
  if (kind === "choice" || guess === null || number === null) return { sign: "", says: say("Not what you said: why?") };
  if (Math.abs(guess - number) <= NEAR * Math.abs(number)) return { sign: "✓", says: say("Close enough for a guess.") };
  const ratio = guess > number ? guess / number : number / guess;
  const far = guess > 0 && number > 0 && ratio >= 2;
  const by = short(far ? ratio : Math.abs(guess - number));
  const high = far ? say("{by} times too high.") : say("{by} too high.");
  const low = far ? say("{by} times too low.") : say("{by} too low.");
  return { sign: "", says: (guess > number ? high : low).replace("{by}", () => by) };
}

/** @param {number} number */
function short(number) {
  return number >= 100 ? Math.round(number).toLocaleString("en") : String(Number(number.toPrecision(2)));
}

/** A picture from its bytes, since a policy may forbid addresses that hold data. @param {string} png in base64 @param {string} says */
function drawn(png, says) {
  const canvas = make("canvas", { role: "img", "aria-label": says, class: "bl-cover-picture", width: 0, height: 0 });
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  createImageBitmap(new Blob([bytes], { type: "image/png" })).then((picture) => {
    Object.assign(canvas, { width: picture.width, height: picture.height });
    canvas.getContext("2d").drawImage(picture, 0, 0);
  }).catch(() => canvas.replaceWith(says));
  return canvas;
}

/** @param {{model: any, el: HTMLElement, host?: any}} view */
function render({ model, el, host }) {
  const id = `bl-${Math.random().toString(36).slice(2, 10)}`;
  const get = (/** @type {string} */ name) => model.get(name);
  const say = (/** @type {string} */ phrase) => /** @type {Record<string, string>} */ (get("words") ?? {})[phrase] ?? phrase;
  const choices = /** @type {string[]} */ (get("choices"));
  let chosen = ""; // not told to Python before the answer is asked for
  const ends = new AbortController(); // of this view, and with it of the view of what was covered

  // ---- the question ----

  const question = make("p", { class: "bl-cover-question", id: `${id}-question`, dir: "auto", "data-part": "question" }, get("question"));
  const picker = toggles({ id, says: say("your prediction"), choices: choices.map((word, i) => [i, word]), choose: (i) => (chosen = choices[i]) });
  set(picker.element, { "aria-describedby": `${id}-question` });
  const says = { number: say("your prediction, a number"), text: say("your prediction, in a few words") }[/** @type {"text"} */ (get("kind"))] ?? "";
  const box = make("input", {
    class: "bl-cover-box",
    id: `${id}-box`,
    type: "text",
    dir: "auto",
    autocomplete: "off",
    "aria-describedby": `${id}-question`,
    "data-lm-suppress-shortcuts": "true",
    "data-part": "box",
    ...(get("kind") === "number" ? { inputmode: "decimal" } : {}),
  });
  const written = make("p", { class: "bl-cover-write" }, make("label", { for: `${id}-box` }, says), box, make("span", { class: "bl-how" }, get("unit")));
  const ask = get("kind") === "choice" ? picker.element : written;
  const press = pushButton(say("reveal"), { "data-part": "reveal" }, reveal);
  const asking = make("div", { class: "bl-cover-ask" }, ask, press);
  asking.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    event.stopPropagation(); // the notebook's shortcuts are not meant
    if (event.key !== "Enter" || event.isComposing || event.target === press) return;
    event.preventDefault();
    reveal();
  });

  // ---- the answer: not in the page before it is asked for ----

  const list = make("div", { class: "bl-cover-sides" });
  const sides = make("div", { tabindex: -1, role: "group", "data-part": "answered" }, list);
  const live = make("p", { class: "bl-live", role: "status", "aria-live": "polite", "data-part": "live" });
  const because = make("p", { class: "bl-cover-because", dir: "auto", "data-part": "because" });
  const place = make("div", { class: "bl-cover-shown", "data-part": "shown" });
  const answered = make("div", { class: "bl-cover-answer" }, because, place);
  const panel = make("div", { "data-panel": "cover" }, make("div", { class: "bl-cover" }, question, asking, sides, live, answered));
  const root = make("div", { class: "bloomlab", "data-view": "cover" }, make("div", { class: "bl-view" }, panel));
  el.append(root);
  const showStill = insteadOfStill(model, el);

  function reveal() {
    const kind = get("kind");
    const guess = (kind === "choice" ? chosen : box.value.trim()).toWellFormed?.() ?? chosen;
    if (!guess || (kind === "number" && writtenNumber(guess) === null)) {
      live.textContent = {
        choice: say("Choose one first: a guess will do."),
        number: say("Write a number first: a guess will do."),
        text: say("Write a prediction first: a guess will do."),
      }[/** @type {"text"} */ (kind)];
      (kind === "choice" ? ask.querySelector("input") : box)?.focus();
      return;
    }
    model.set("prediction", guess);
    model.set("revealed", true);
    model.save_changes();
    draw();
    sides.focus();
  }

  /** @param {string} name @param {string} words @param {string} how @param {string} part */
  function side(name, words, how, part) {
    return make("div", {}, make("div", { class: "bl-how" }, name), make("div", { class: "bl-cover-side", "data-part": part }, make("bdi", { class: "bl-cover-said" }, words), ` ${how}`));
  }

  function draw() {
    const revealed = get("revealed");
    set(root, { "data-state": revealed ? "revealed" : "asking" });
    asking.hidden = revealed;
    sides.hidden = answered.hidden = !revealed;
    if (!revealed) {
      list.replaceChildren();
      because.textContent = live.textContent = "";
      return;
    }
    const [prediction, answer, unit] = [get("prediction"), get("answer"), get("unit")];
    const { sign, says: words } = remark({ kind: get("kind"), prediction, answer, number: get("number") }, say);
    list.replaceChildren(side(say("you said"), prediction || "–", prediction && unit, "said"), side(say("it is"), answer, unit, "answer"));
    because.textContent = get("because");
    live.textContent = `${sign} ${words}`.trim();
    const spoken = { said: isolated(prediction || say("nothing")), answer: `${isolated(answer)} ${unit}`.trim() };
    const both = say("You said {said}. It is {answer}.").replace(/\{(said|answer)\}/g, (_, name) => spoken[/** @type {"said"} */ (name)]);
    set(sides, { "aria-label": `${both} ${words}` });
    uncover().catch(() => {}); // then the text stays
  }

  async function uncover() {
    if (place.childNodes.length || !get("shown_text")) return;
    const picture = get("shown_picture");
    const still = picture
      ? drawn(picture, say("what was covered"))
      : make("pre", { class: "bl-code", dir: "auto", tabindex: 0, "aria-label": say("what was covered") }, get("shown_text"));
    place.append(still); // at once, and for good where nothing can show it live
    const name = get("shown");
    const shown = make("div", {});
    if (name.startsWith("anywidget:") && host?.getWidget) {
      await (await host.getWidget(name)).render({ el: shown, signal: ends.signal });
    } else if (name && model.widget_manager?.create_view) { // what is not anywidget's, only Jupyter can show
      const manager = model.widget_manager;
      const view = await manager.create_view(await manager.get_model(name.replace(/^(anywidget:|IPY_MODEL_)/, "")));
      ends.signal.addEventListener("abort", () => view.remove());
      shown.append(view.el);
    } else return;
    if (!ends.signal.aborted) place.replaceChildren(shown);
  }

  const scale = () => root.style.setProperty("--bl-scale", String(get("scale") ?? 1));
  model.on("change:revealed", draw);
  model.on("change:prediction", draw);
  model.on("change:scale", scale);
  scale();
  draw();
  return () => {
    ends.abort();
    model.off("change:revealed", draw);
    model.off("change:prediction", draw);
    model.off("change:scale", scale);
    showStill();
    root.remove();
  };
}

export default {
  render,
};
