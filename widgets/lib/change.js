// @ts-check
// "change …": what can be changed in what is selected, how far that reaches, and what is put there. Each choice is an
// edit, sent to Python as data. The menu opens beside its button, or where something was right-clicked.
//
// What tests can rely on (in each tab that has one):
//   [data-part="change-menu"] summary      opens it; the key e does, too
//   [data-part="change-part"]              a select: what is changed
//   input[value="one-token | like | onwards | every-token"]   at which tokens; input[value="one-layer | every-layer"]
//   [data-part="change-says"]              all of that in words
//   [data-edit="silence | usual | drawn | copy"]   what stands in its place; "hold": what was there without edits
//   [data-edit="times | cut | steer"]      makes the edit; [data-part="change-number"]: times what
//   [data-part="steer-towards" | "steer-away"]   what a direction leads to and from: a language, or "" for these texts:
//   [data-part="steer-towards-texts" | "steer-away-texts"], one on each line; [data-part="steer-dose"]
//   [data-part="expect"]                   what somebody expects of it, written before the result is seen
//   [data-part="donor-text"]               another text to copy from; [data-part="donor-column"]: which of its tokens
import { tokenNames } from "./causal.js";
import { isolated, lastOf, make, pushButton } from "./dom.js";
import { toggles } from "./toggles.js";

/**
 * @typedef {{spot: string, kind: string, axes: Record<string, any>, number?: number, columns?: number[],
 *   towards?: string | string[], away?: string | string[]}} PageEdit
 * @typedef {{layer: number, head: number, query: number, key: number, part: string}} Target  what is selected
 */

/** @type {Record<string, {spot: string, axis: string, says: (layer: string, head: number) => string}>} */
const PARTS = {
  head: { spot: "attn.mixed", axis: "query", says: (layer, head) => `head ${head} of ${layer}` },
  attention: { spot: "attn.out", axis: "pos", says: (layer) => `the attention of ${layer}` },
  mlp: { spot: "mlp.out", axis: "pos", says: (layer) => `the MLP of ${layer}` },
  mid: { spot: "resid_mid", axis: "pos", says: (layer) => `the state after the attention of ${layer}` },
  post: { spot: "resid_post", axis: "pos", says: (layer) => `the state after ${layer}` },
  embed: { spot: "embed", axis: "pos", says: () => "the embedding" },
  q: { spot: "attn.q", axis: "query", says: (layer, head) => `the queries of head ${head} of ${layer}` },
  k: { spot: "attn.k", axis: "pos", says: (layer, head) => `the keys of head ${head} of ${layer}` },
  v: { spot: "attn.v", axis: "pos", says: (layer, head) => `the values of head ${head} of ${layer}` },
};
const STATES = ["embed", "attention", "mid", "mlp", "post"]; // to these a direction can be added
const OF_A_HEAD = ["head", "q", "k", "v"];
const HOPES = 300; // characters of what is expected
const REACHES = [
  ["one-token", "this token", "the selected token alone"],
  ["like", "every one like it", "every token with the same id"],
  ["onwards", "from here on", "this token and all after it"],
  ["every-token", "all tokens", ""],
];
const LAYERS = [
  ["one-layer", "this layer", ""],
  ["every-layer", "all layers", ""],
];
const DONOR_PAUSE = 300; // milliseconds without a key before another text is read
const NAMED = 4; // tokens that differ are named, so many

/** @param {import("./frame.js").Stage} stage */
export function changeMenu(stage) {
  let target = /** @type {Target} */ ({ layer: 0, head: 0, query: 0, key: 0, part: "head" });
  let picture = /** @type {any} */ (null);
  let names = /** @type {string[]} */ ([]);
  let shown = "";
  let reach = "one-token";
  let layers = "one-layer";

  // ---- the pieces ----

  const says = make("p", { class: "bl-how", "data-part": "change-says", role: "status" });
  const part = choice("what is changed", "change-part");
  const reaches = toggles({ id: `${stage.id}-reach`, says: "at which tokens", choices: REACHES, choose: (value) => chooseAnd(() => (reach = value)) });
  const layerChoice = toggles({ id: `${stage.id}-layers`, says: "in which layers", choices: LAYERS, choose: (value) => chooseAnd(() => (layers = value)) });
  const number = make("input", { class: "bl-factor", type: "number", step: "any", value: "0.5", "aria-label": "times what", "data-lm-suppress-shortcuts": "true", "data-part": "change-number" });
  number.addEventListener("input", () => (times.disabled = number.value === "")); // empty, or no number
  const silence = editButton("silence", "nothing (zero)", () => wish("zero"));
  const usual = editButton("usual", "the usual (mean of like texts)", () => wish("usual"));
  const drawn = editButton("drawn", "drawn from like texts", () => wish("drawn"));
  const hold = editButton("hold", "hold as it was", () => wish("hold"));
  hold.title = "what is changed before it does not reach it: which way does the change take?";
  const expect = make("input", { class: "bl-donor-text", type: "text", dir: "auto", maxlength: HOPES, placeholder: "I expect …", "aria-label": "what I expect of it", "data-lm-suppress-shortcuts": "true", "data-part": "expect" });
  const times = editButton("times", "times", () => wish("scale", { number: Number(number.value) }));
  const cut = editButton("cut", "", cutLook);
  const donorText = make("textarea", { class: "bl-donor-text", rows: 2, dir: "auto", spellcheck: "false", "aria-label": "another text to copy from", "data-lm-suppress-shortcuts": "true", "data-part": "donor-text" });
  const donorSays = make("p", { class: "bl-how", role: "status", "data-part": "donor-says" });
  const column = choice("which of its tokens", "donor-column");
  const copy = editButton("copy", "copy", () => wish("copied", reach === "one-token" && Number(column.value) !== target.query ? { columns: [Number(column.value)] } : {}));
  const donor = make("details", { class: "bl-donor" }, make("summary", { "data-lm-suppress-shortcuts": "true" }, "copy from another text …"), donorText, donorSays, make("p", { class: "bl-row" }, column, copy));
  const [towards, away] = [endOf("towards", 1), endOf("away", 0)];
  const doseOf = make("input", { class: "bl-factor", type: "number", step: "any", value: "1", "aria-label": "how many times", "data-lm-suppress-shortcuts": "true", "data-part": "steer-dose" });
  const steer = editButton("steer", "add it", () => wish("steer", { number: Number(doseOf.value), towards: towards.value(), away: away.value() }));
  const steerSays = make("p", { class: "bl-how", role: "status", "data-part": "steer-says" });
  const directions = make("details", { class: "bl-steer", "data-part": "steer" }, make("summary", { "data-lm-suppress-shortcuts": "true" }, "add a direction …"), ...towards.elements, ...away.elements, steerSays, make("p", { class: "bl-row" }, make("span", { class: "bl-times" }, "dose ", doseOf), steer));
  for (const input of [doseOf, towards.texts, away.texts]) input.addEventListener("input", drawSteer);
  const list = make(
    "div",
    { class: "bl-change-list", role: "group", "aria-label": "what to change" },
    part,
    reaches.element,
    layerChoice.element,
    says,
    make("p", { class: "bl-how" }, "what stands in its place"),
    make("p", { class: "bl-row" }, silence, usual, drawn),
    donor,
    directions,
    make("p", { class: "bl-row" }, hold, make("span", { class: "bl-times" }, times, number), cut),
    expect,
  );
  const summary = make("summary", { class: "bl-button", "data-lm-suppress-shortcuts": "true", title: "key e; or a right-click on what is to be changed" }, "change …");
  const element = make("details", { class: "bl-change-menu", "data-part": "change-menu" }, summary, list);

  /** @param {string} says @param {string} name */
  function choice(says, name) {
    const select = make("select", { class: "bl-select", "aria-label": says, "data-lm-suppress-shortcuts": "true", "data-part": name });
    select.addEventListener("change", () => chooseAnd(() => {}));
    return select;
  }

  /** One end of a direction: a language, or texts of one's own. @param {string} name @param {number} first */
  function endOf(name, first) {
    const select = choice(name, `steer-${name}`);
    const languages = stage.get("languages") ?? [];
    select.append(...languages.map((/** @type {string} */ language) => make("option", { value: language }, language)), make("option", { value: "" }, "these texts:"));
    select.value = languages[first] ?? "";
    const texts = make("textarea", { class: "bl-donor-text", rows: 2, dir: "auto", spellcheck: "false", placeholder: "one text a line", "aria-label": `texts it leads ${name === "away" ? "away from" : "to"}, one a line`, "data-lm-suppress-shortcuts": "true", "data-part": `steer-${name}-texts` });
    const lines = () => texts.value.split("\n").map((/** @type {string} */ line) => line.trim()).filter(Boolean);
    const value = () => select.value || lines();
    return { select, texts, value, elements: [make("label", { class: "bl-times" }, name === "away" ? "away from " : "towards ", select), texts] };
  }

  /** @param {string} name @param {string} text @param {() => void} press */
  function editButton(name, text, press) {
    return pushButton(text, { "data-edit": name }, () => {
      close();
      press();
    });
  }

  // ---- opening and closing ----

  function close() {
    const inside = element.contains(document.activeElement);
    element.open = false;
    if (inside) summary.focus();
  }
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape" && element.open) {
      event.preventDefault();
      close();
    } else if (!event.target || !/** @type {Element} */ (event.target).matches("textarea, input, select")) return;
    event.stopPropagation(); // what is typed here is no command, neither ours nor the notebook's
  });
  element.addEventListener("toggle", () => {
    if (!element.open) return;
    draw();
    place(at ?? below());
    at = null;
  });
  const pressedElsewhere = (/** @type {Event} */ event) => {
    if (element.open && !event.composedPath().includes(element)) element.open = false;
  };
  addEventListener("pointerdown", pressedElsewhere, true);
  stage.undo.push(() => removeEventListener("pointerdown", pressedElsewhere, true));

  let at = /** @type {{x: number, y: number} | null} */ (null); // where a right-click asked for it
  const below = () => {
    const { left, bottom } = summary.getBoundingClientRect();
    return { x: left, y: bottom };
  };

  /** Inside the view, whose edges would cut it off. @param {{x: number, y: number}} point */
  function place({ x, y }) {
    const view = /** @type {HTMLElement} */ (list.offsetParent ?? stage.root).getBoundingClientRect();
    const left = Math.max(0, Math.min(x - view.left, view.width - list.offsetWidth));
    const top = Math.max(0, Math.min(y - view.top, view.height - list.offsetHeight));
    list.style.setProperty("--bl-x", `${left}px`);
    list.style.setProperty("--bl-y", `${top}px`);
  }

  // ---- the edit ----

  const hasLike = () => !["q", "k", "v"].includes(part.value); // other texts have them, too, but a head's output says more
  const layerless = () => part.value === "embed";
  const everywhere = () => layers === "every-layer" && !layerless();
  const spotOf = (/** @type {string} */ spot) => (layerless() ? spot : everywhere() ? spot : `h.${target.layer}.${spot}`);
  const same = () => picture.tokens.flatMap((/** @type {any} */ { id }, /** @type {number} */ token) => (id === picture.tokens[target.query].id ? [token] : []));
  const reached = () => ({ "one-token": [target.query], like: same(), onwards: { from: target.query } })[reach];

  /** @param {string} axis */
  function axesOf(axis) {
    const tokens = reached();
    return { ...(OF_A_HEAD.includes(part.value) ? { head: [target.head] } : {}), ...(tokens ? { [axis]: tokens } : {}) };
  }

  /** @param {string} kind @param {Partial<PageEdit>} [more] */
  function wish(kind, more = {}) {
    const { spot, axis } = PARTS[part.value];
    send({ spot: spotOf(spot), kind, axes: axesOf(axis), ...more });
  }

  /** @param {PageEdit} edit */
  function send(edit) {
    stage.wish({ do: "add", edit, ...(expect.value.trim() ? { expect: expect.value } : {}) });
    expect.value = "";
  }

  function cutLook() {
    const { query, ...others } = /** @type {any} */ (axesOf("query"));
    send({ spot: spotOf("attn.biased"), kind: "cut", axes: { ...others, ...(query ? { query } : {}), key: [target.key] } });
  }

  // ---- drawing ----

  /** @param {() => void} step */
  function chooseAnd(step) {
    step();
    draw();
  }

  const tokenName = (/** @type {number} */ token) => `token ${token} ${isolated(names[token])}`;

  function words() {
    const what = PARTS[part.value].says(everywhere() ? "every layer" : `layer ${target.layer}`, target.head);
    const like = same();
    const where = {
      "one-token": `at ${tokenName(target.query)}`,
      like: like.length > 1 ? `at ${like.length} tokens, each ${isolated(names[target.query])}` : `at ${tokenName(target.query)}, the only one of its kind`,
      onwards: `from ${tokenName(target.query)} on`,
      "every-token": "at all tokens",
    }[/** @type {"like"} */ (reach)];
    return `${what}, ${where}`;
  }

  function drawDonor() {
    const other = stage.get("donor") ?? {};
    const tokens = other.tokens ?? [];
    const read = donorText.value.trim() !== "" && other.text === donorText.value;
    const length = tokens.length === picture.tokens.length;
    const otherNames = read ? tokenNames(other) : [];
    const differ = length ? otherNames.flatMap((name, token) => (tokens[token].id === picture.tokens[token].id ? [] : [[token, name]])) : [];
    const which = differ.slice(0, NAMED).map(([token, name]) => `token ${token} ${isolated(String(name))} for ${isolated(names[Number(token)])}`);
    const possible = read && !everywhere() && (length || reach === "one-token");
    donorSays.textContent = !read
      ? "type or paste the other text; it is read as you type"
      : everywhere()
        ? "a copy is made in one layer: choose this layer"
        : length
          ? differ.length
            ? `as many tokens; another is ${which.join(", ")}${differ.length > NAMED ? `, and ${differ.length - NAMED} more` : ""}`
            : "the very same tokens: a copy changes nothing"
          : possible
            ? `${tokens.length} tokens, not ${picture.tokens.length}: choose which of them to copy`
            : `${tokens.length} tokens, not ${picture.tokens.length}: choose “this token”, and which of them to copy`;
    const key = JSON.stringify([otherNames, length ? target.query : 0, read]);
    if (column.dataset.key !== key) {
      column.dataset.key = key;
      column.replaceChildren(...otherNames.map((name, token) => make("option", { value: token }, `its token ${token} ${isolated(name)}`)));
      column.value = String(length ? target.query : tokens.length - 1);
    }
    column.hidden = reach !== "one-token" || !read;
    copy.disabled = !possible || !hasLike();
  }

  function drawSteer() {
    for (const { select, texts } of [towards, away]) {
      const grows = texts.hidden !== (select.value !== "");
      texts.hidden = select.value !== "";
      if (grows && directions.open) place(below());
    }
    const fits = STATES.includes(part.value);
    const ends = [towards.value(), away.value()];
    const same = JSON.stringify(ends[0]) === JSON.stringify(ends[1]);
    steerSays.textContent = !fits ? "a direction is added to states: choose one above" : same ? "both ends are the same" : ends.some((end) => end.length === 0) ? "write a text for each end" : "the mean state of the one less that of the other";
    steer.disabled = !fits || same || ends.some((end) => end.length === 0) || doseOf.value === "";
  }

  function draw() {
    if (!picture) return;
    const options = Object.keys(PARTS).map((name) => [name, PARTS[name].says(`layer ${target.layer}`, target.head)]);
    const key = JSON.stringify(options);
    if (part.dataset.key !== key) {
      part.dataset.key = key;
      const before = part.value || target.part;
      part.replaceChildren(...options.map(([name, text]) => make("option", { value: name }, text)));
      part.value = before;
    }
    reaches.mark(reach);
    layerChoice.mark(layers);
    layerChoice.enable(!layerless());
    says.textContent = words();
    usual.disabled = drawn.disabled = !hasLike();
    cut.hidden = part.value !== "head" || target.key >= target.query;
    cut.textContent = `cut the look at ${tokenName(target.key)}`;
    drawDonor();
    drawSteer();
  }

  const readNow = () => {
    if (donorText.value.trim() && stage.get("donor")?.text !== donorText.value) stage.wish({ do: "read", text: donorText.value });
  };
  const read = lastOf(DONOR_PAUSE, readNow);
  stage.undo.push(read.cancel);
  donor.addEventListener("toggle", () => {
    if (donor.open) readNow();
    place(below());
  });
  directions.addEventListener("toggle", () => {
    if (directions.open && !STATES.includes(part.value)) chooseAnd(() => (part.value = "post"));
    place(below());
  });
  donorText.addEventListener("input", () => {
    drawDonor();
    read();
  });
  stage.listen("change:donor", draw);

  stage.menus.push({
    element,

    /** @param {{x: number, y: number} | null} point where to; null: beside the button */
    open(point) {
      at = point;
      if (element.open) place(at ?? below());
      element.open = true;
      silence.focus({ preventScroll: true });
    },
  });

  return {
    element,

    /** @param {any} another picture @param {string[]} itsNames @param {Target} selected */
    show(another, itsNames, selected) {
      element.hidden = !(stage.get("editable") && stage.get("live"));
      const now = JSON.stringify(selected);
      if (element.hidden || (now === shown && another === picture)) return;
      if (picture && picture.text !== another.text && !donorText.value) {
        donorText.value = picture.text; // most often it is the text before that one wants to copy from
      }
      if (selected.part !== target.part || !part.value) part.value = selected.part;
      shown = now;
      [picture, names, target] = [another, itsNames, selected];
      draw();
    },
  };
}
