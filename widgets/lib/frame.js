// @ts-check
// What surrounds every view of a text: the box on top, the four states, code and stamp below, and what to listen to.
import { codeBlock } from "./code.js";
import { make, pushButton, set } from "./dom.js";
import { textBox } from "./textbox.js";

const FIRST_TEXTS = ["Leo lives in Oslo.", "猫坐在垫子上。", "القطة تنام هنا."];

/**
 * @param {{model: any, el: HTMLElement, name: string, show: (picture: any) => void, draw: () => void,
 *   fit: () => void}} view
 *   `show` is called when another text was read, `draw` after that and whenever a mark may have moved, `fit` when the
 *   room or the theme has changed
 */
export function viewFrame({ model, el, name, show, draw, fit }) {
  const id = `bl-${Math.random().toString(36).slice(2, 10)}`;
  const undo = /** @type {(() => void)[]} */ ([]);
  let picture = /** @type {any} */ (null);
  let source = /** @type {unknown} */ (undefined); // the trait that was read, to tell when another has come
  let asked = 0; // the number of the last text typed here
  let trouble = ""; // what the page itself found wrong
  let drawn = 0;

  const box = textBox({ id, send: ask, cancel });
  const live = make("p", { class: "bl-live", role: "status", "aria-live": "polite", "data-part": "live" });
  const code = codeBlock();
  const stamp = make("p", { class: "bl-stamp", "data-part": "stamp" });
  const examples = FIRST_TEXTS.map((example) => pushButton(example, { dir: "auto" }, () => box.write(example)));
  const hint = make(
    "div",
    { class: "bl-empty", "data-part": "empty" },
    make("p", {}, "Type a sentence above. BLOOM reads it as you type, and you look inside."),
    make("p", { class: "bl-row" }, ...examples),
  );
  const body = make("div", { class: "bl-body" });
  const foot = make("div", { class: "bl-foot" }, code.element, stamp);
  const root = make("div", { class: "bloomlab", "data-view": name }, make("div", { class: "bl-view" }, box.element, hint, body, foot));
  el.append(root);
  undo.push(box.close);

  function readPicture() {
    const found = (source = model.get("picture"));
    picture = found && found.tokens ? found : null;
    if (!picture) return;
    if (!waiting()) box.show(picture.text);
    show(picture);
    stamp.textContent = picture.stamp;
    drawn += 1;
    set(root, { "data-tokens": picture.tokens.length, "data-drawn": drawn });
  }

  function drawAll() {
    if (model.get("picture") !== source) return; // a selection may arrive just before the picture it belongs to
    drawState();
    if (picture) draw();
  }

  /** The four states: a picture, working, nothing yet, an error. */
  function drawState() {
    const state = trouble ? "error" : waiting() ? "working" : model.get("state");
    const count = picture ? picture.tokens.length : 0;
    const message = {
      ready: `${model.get("live") ? "" : "a saved page · "}${count} ${count === 1 ? "token" : "tokens"}; the number under each is the id that the model is fed`,
      working: `reading ${box.length()} characters …`,
      empty: "nothing to read yet",
      error: `${trouble || model.get("message")}${picture ? " · the picture below is still the one before" : ""}`,
    }[/** @type {"ready"} */ (state)];
    box.say(message, state === "error", state === "working" && picture !== null);
    set(root, { "data-state": state });
    hint.hidden = state !== "empty";
    body.hidden = foot.hidden = state === "empty" || !picture;
  }

  /** Whether the last text typed here has no answer yet. */
  function waiting() {
    return model.get("live") && asked > model.get("answered");
  }

  /** @param {string} text @param {string} problem */
  function ask(text, problem) {
    trouble = problem;
    if (!problem) {
      asked = Math.max(asked, model.get("typed").number, model.get("answered")) + 1;
      model.set("typed", { text, number: asked });
      model.save_changes();
    }
    drawAll();
  }

  function cancel() {
    box.write(picture?.text ?? "");
    asked = model.get("answered"); // nothing is waited for, whatever Python is doing
    drawAll();
  }

  /** Errors are shown where the person looks, and the last good picture stays. */
  const safely = (/** @type {() => void} */ step) => () => {
    try {
      step();
    } catch (error) {
      trouble = `the page could not draw this: ${error}`;
      drawState();
      throw error;
    }
  };

  /** @param {string} change @param {() => void} step */
  function listen(change, step) {
    const guarded = safely(step);
    model.on(change, guarded);
    undo.push(() => model.off(change, guarded));
  }

  let frame = 0;
  /** The pointer moves more often than the screen is drawn. */
  function drawSoon() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(safely(drawAll));
  }
  undo.push(() => cancelAnimationFrame(frame));

  return {
    id,
    root,
    body,
    live,
    code,
    listen,
    drawSoon,
    drawNow: drawAll,
    undo,

    /** Once all pieces are in the body. */
    start() {
      const refit = () => {
        root.style.setProperty("--bl-scale", String(model.get("scale") ?? 1));
        if (picture && !body.hidden) fit();
      };
      listen("change:picture", () => {
        readPicture();
        drawAll();
      });
      listen("change:state change:message change:answered", drawAll);
      listen("change:scale", refit);
      const resized = new ResizeObserver(refit);
      resized.observe(body);
      const themed = new MutationObserver(refit);
      themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
      const system = matchMedia("(prefers-color-scheme: dark)");
      system.addEventListener("change", refit);
      undo.push(
        () => resized.disconnect(),
        () => themed.disconnect(),
        () => system.removeEventListener("change", refit),
      );
      if (!model.get("live")) box.freeze("a saved page: reading another text needs the model");
      safely(() => {
        readPicture();
        drawAll();
        refit();
      })();
      return () => {
        for (const step of undo) step();
        root.remove();
      };
    },
  };
}
