// @ts-check
// A view is a frame around a panel. The frame is what all views of a text have in common: the text box, the four
// states, the token strip, one selection (layer, head, query, key), the line that is read aloud, code and stamp.
// The panel is what differs. widgets/NAME.js exports it, so that the view NAME and the explorer can both use it:
//
//   export function namePanel(stage) {
//     stage.where.append(…);                 // its elements, once; their data- attributes are for tests
//     stage.listen("change:mode", …);        // traits of its own; the frame listens to the selection
//     return {
//       show(picture) {…},                   // another text was read
//       draw() {…},                          // something was chosen or is pointed at: move the marks
//       fit() {…},                           // the room, the scale or the theme has changed: measure and paint again
//       point(token) {…},                    // the pointer is over this token of the strip; null: over none
//     };
//   }
//   export default { render: (view) => viewFrame({ ...view, name: "name", makePanel: namePanel }) };
//
// A panel puts its elements into four zones: stage.which, stage.where, stage.why and stage.more (lib/zones.js).
// `picture` has at least text, tokens, chips, layers, heads, code and stamp. NAME.css holds for [data-panel="NAME"] only.
import { againstBox } from "./against.js";
import { codeBlock } from "./code.js";
import { forgetColours, insteadOfStill, lastOf, make, pushButton, set } from "./dom.js";
import { kernelLine } from "./kernel.js";
import { rowChooser } from "./rows.js";
import { runSwitch } from "./runs.js";
import { copySelected, takeMenu } from "./take.js";
import { tokenStrip } from "./strip.js";
import { textBox } from "./textbox.js";
import { worthLine } from "./worth.js";
import { onSlide, reachZones, roomOf, zonesIn } from "./zones.js";

/**
 * What a panel is given.
 * @typedef {object} Stage
 * @property {string} id  unique on the page, for the ids of elements
 * @property {HTMLElement} root  of the view: data- attributes that say what is selected go here
 * @property {HTMLElement} body  the panel's own; in it are
 * @property {HTMLElement} which  where one chooses,
 * @property {HTMLElement} where  the picture,
 * @property {HTMLElement} why  the numbers of what is chosen,
 * @property {HTMLElement} runs  the switch between two runs
 * @property {HTMLElement} worth  the line that says what the edits are worth
 * @property {(edits: import("./change.js").PageEdit[], gesture: number) => void} set  each in place of the one that changes the same; a gesture is undone as one
 * @property {(wish: Record<string, any>) => void} wish  one edit more, or anything else about edits
 * @property {{element: HTMLDetailsElement, open: (point: {x: number, y: number} | null) => void}[]} menus  where edits are chosen, one in each panel
 * @property {HTMLElement} more  and what does not fit on one screen
 * @property {(trait: string) => any} get  a trait of the panel's view in Python, or one that all views share; "kernel" is "here", "silent", "gone", or "none" in a saved page
 * @property {(places: Record<string, any>) => void} choose  set traits; Python hears of the last ones, in one message
 * @property {(change: string, step: () => void) => void} listen  "change:mode change:far"; the step is taken once for a message, when all of it is here
 * @property {() => void} drawSoon  before the screen is drawn next: the pointer moves more often than that
 * @property {() => void} drawNow
 * @property {() => void} drawOnce  for all that one message changes
 * @property {(cell: {query: number, key: number}, pointed: number | null, share: ((token: number) => number) | null) => void} mark
 *   the strip: which tokens are chosen, which is pointed at, and how long the bar under each is, if there are bars
 * @property {(...words: (Node | string)[]) => void} say  one sentence about what is shown, for screen readers too
 * @property {(picture: any, numbers: Record<string, number | string>) => void} showCode  with these in place of their names
 * @property {(text: string) => void} read  another text, as if somebody had typed it
 * @property {(() => void)[]} undo  what to do when the view goes away
 *
 * @typedef {object} Panel
 * @property {(picture: any) => void} show
 * @property {() => void} draw
 * @property {() => void} fit
 * @property {(token: number | null) => void} point
 * @property {() => {title: string, rows: () => string[][]}[]} [tables]  the numbers of what is drawn and no table
 */

const FIRST_TEXTS = ["Leo lives in Oslo. Leo has a cat.", "里奥住在奥斯陆。里奥有一只猫。", "يعيش ليو في أوسلو. لدى ليو قطة.", "लियो ओस्लो में रहता है। लियो के पास एक बिल्ली है।"]; // the same in four scripts, from the embedded world
const NO_KERNEL = { gone: "the kernel is gone; run the cell again", silent: "no kernel answers: it is busy, or there is none; then run the cell again" };
const PAPER = 640; // pixels that fit on a page, A4 or Letter, with the margins of any printer
const WAITS = '[data-waits], [data-state="running"]'; // what says that something is on its way
const LOW = 780; // pixels of a window: in a lower one, what stands behind "more" would push the sentence off the screen
const KNOCK_PAUSE = 250; // milliseconds without another choice
const SELECTION = ["layer", "head", "query", "key"];
const CHANGEABLE = ':is([data-part="strip"], [data-part="first"]) [data-token], [data-part="heads"] [role="option"], [data-part="slopes"] [role="option"], .bl-matrix, [role="gridcell"]';

/**
 * @param {{model: any, el: HTMLElement, name: string, makePanel: (stage: Stage) => Panel}} view
 * @returns {() => void} cleans up
 */
export function viewFrame({ model, el, name, makePanel }) {
  const id = `bl-${Math.random().toString(36).slice(2, 10)}`;
  const undo = /** @type {(() => void)[]} */ ([]);
  let picture = /** @type {any} */ (null);
  let source = /** @type {unknown} */ (undefined); // the trait that was read, to tell when another has come
  let asked = 0; // the number of the last text typed here
  let trouble = ""; // what the page itself found wrong
  let drawn = 0;
  let choosing = false; // traits are being set

  const kernel = kernelLine({ model, waits: () => waiting() || root.querySelector(WAITS) !== null, changed: () => safely(kernelChanged)() });
  undo.push(kernel.close);
  const kernelNow = () => (model.get("live") ? kernel.state() : "none");
  /** As the model has it; but what lost its kernel is not live. @param {string} trait */
  const get = (trait) => (trait === "kernel" ? kernelNow() : trait === "live" ? kernelNow() === "here" : model.get(trait));

  // ---- the pieces ----

  const box = textBox({ id, send: ask, cancel });
  const strip = tokenStrip({ pick: pickToken, point: (token) => panel.point(token) });
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
  const panelBody = make("div", { class: "bl-panel-body", "data-panel": name });
  const zones = zonesIn(panelBody);
  const ids = pushButton("ids", { class: "bl-button bl-plain", "aria-pressed": "false", title: "the ids that the model is fed, under each token", "data-part": "ids" }, () =>
    setPressed(ids, "data-ids"),
  );
  const rows = rowChooser({ get, choose });
  const more = pushButton("more", { class: "bl-button bl-plain", "aria-pressed": "false", title: "the other pictures of this tab, below", "data-part": "more" }, () => {
    setPressed(more, "data-more");
    refit();
  });
  const whole = pushButton("full screen", { class: "bl-button bl-plain", "data-part": "full-screen" }, () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else root.requestFullscreen?.();
  });
  whole.hidden = !document.fullscreenEnabled;
  const runs = runSwitch({ id, get, choose });
  const against = againstBox({ id: `${id}-against`, get, ask: runs.ask, first: () => picture?.text ?? "" });
  box.element.append(rows.element, against.button, ids, against.line);
  const worth = worthLine({ id: `${id}-worth`, get, choose, ask: runs.ask, undo });
  const take = takeMenu({ id: `${id}-take`, model, get, name: () => picture?.text ?? "", root: () => root, own: () => panel.tables?.() ?? [] });
  undo.push(take.close);
  const body = make("div", { class: "bl-body" }, strip.element, runs.element, worth.element, panelBody);
  const foot = make("div", { class: "bl-foot" }, live, more, whole, take.element, code.element, stamp);
  const root = make("div", { class: "bloomlab", "data-view": name }, make("div", { class: "bl-view" }, box.element, hint, body, foot));
  root.addEventListener("copy", (/** @type {ClipboardEvent} */ event) => copySelected(event, root));
  el.append(root);
  undo.push(box.close, insteadOfStill(model, el));

  /** @param {HTMLElement} button @param {string} attribute of the root */
  function setPressed(button, attribute) {
    const pressed = button.getAttribute("aria-pressed") !== "true";
    set(button, { "aria-pressed": String(pressed) });
    set(root, { [attribute]: pressed });
  }

  // ---- choosing ----

  /** Whatever is sent, Python should be there to take it. */
  function knock() {
    if (model.get("live")) kernel.knock();
  }
  const knockSoon = lastOf(KNOCK_PAUSE, knock); // of a drag, once
  undo.push(knockSoon.cancel);

  /**
   * Sent at once: Jupyter keeps back what comes while the kernel is busy, all but the last, and only of what was sent
   * does it know that an echo of an earlier choice is old.
   * @param {Record<string, any>} places
   */
  function choose(places) {
    choosing = true; // the model tells of one trait after the other; one drawing is enough
    for (const [trait, value] of Object.entries(places)) model.set(trait, value);
    choosing = false;
    model.save_changes(); // before the drawing, which takes longer than the way to Python
    due ||= Object.keys(places).some((trait) => trait !== "wished"); // a wish shows once it is granted
    catchUp();
    knockSoon();
  }

  /** @param {number} token @param {boolean} asKey */
  function pickToken(token, asKey) {
    const [query, key] = [model.get("query"), model.get("key")];
    choose(asKey ? { query: Math.max(query, token), key: token } : { query: token, key: Math.min(key, token) });
  }

  // ---- drawing ----

  function readPicture() {
    const next = (source = model.get("picture"));
    picture = next && next.tokens ? next : null;
    if (!picture) return;
    if (!waiting()) box.show(picture.text);
    strip.show(picture, id);
    panel.show(picture);
    stamp.textContent = stamp.title = picture.stamp;
    drawn += 1;
    set(root, { "data-tokens": picture.tokens.length, "data-drawn": drawn });
  }

  function drawAll() {
    if (choosing || model.get("picture") !== source) return; // it is read first (catchUp)
    if (holding) {
      due = true;
      return;
    }
    drawFrame();
    if (!picture) return;
    panel.draw();
    strip.keepInSight(); // what asks how much room there is comes last: each time the page is laid out
    reachZones(root);
  }

  /** All but the panel: how much room that has hangs on it. */
  function drawFrame() {
    drawState();
    if (!picture) return;
    set(root, Object.fromEntries(SELECTION.map((trait) => [`data-${trait}`, model.get(trait)])));
    set(root, { "data-run": (model.get("runs") ?? []).length > 0 && model.get("run") });
    rows.draw();
    runs.draw();
    against.draw();
    worth.draw();
    set(root, { "data-worth": !worth.element.hidden });
  }

  const told = /** @type {Set<() => void>} */ (new Set()); // of these traits, and what is to be done about it
  let due = false; // a drawing
  let coming = false;
  let holding = false; // a button of the mouse is down

  /** A click is one only if what was pressed is still there when it is let go: nothing is drawn anew in between. @param {PointerEvent} event */
  function hold(event) {
    holding = event.button === 0 && !(/** @type {Element} */ (event.target).closest("input, select, textarea"));
  }

  function letGo() {
    if (!holding) return;
    holding = false;
    setTimeout(catchUp); // the click comes first
  }
  root.addEventListener("pointerdown", hold, true);
  root.addEventListener("gotpointercapture", letGo); // a drag is drawn as it goes
  const ends = ["pointerup", "pointercancel", "contextmenu", "keydown", "blur"];
  const moved = (/** @type {PointerEvent} */ event) => event.buttons || letGo(); // of a scroll bar's end no browser tells
  for (const end of ends) addEventListener(end, letGo, true);
  addEventListener("pointermove", moved, true);
  undo.push(() => {
    for (const end of ends) removeEventListener(end, letGo, true);
    removeEventListener("pointermove", moved, true);
  });

  /** @param {() => void} step */
  function hear(step) {
    told.add(step);
    soon();
  }

  /** One message changes many traits, and the model tells of each: they are drawn together. */
  function drawOnce() {
    if (choosing) return; // it is drawn then
    due = true;
    soon();
  }

  function soon() {
    if (coming || choosing) return;
    coming = true;
    queueMicrotask(catchUp);
  }

  /**
   * What one message has changed is looked at once it is here as a whole: some hosts set one trait, tell of it, and only
   * then set the next. The picture comes first, for all else points into it.
   */
  const catchUp = safely(() => {
    coming = false;
    if (holding) return;
    const steps = [...told];
    told.clear();
    if (model.get("picture") !== source) {
      readPicture();
      due = true;
    }
    for (const step of steps) step();
    if (due && root.isConnected) drawAll();
    due = false;
  });

  /** The four states: a picture, working, nothing yet, an error. */
  function drawState() {
    const state = trouble ? "error" : waiting() ? "working" : model.get("state");
    const count = picture ? picture.tokens.length : 0;
    const lost = NO_KERNEL[/** @type {"gone"} */ (get("kernel"))] ?? "";
    const tokens = `${count} ${count === 1 ? "token" : "tokens"}`;
    const message = lost ? `${lost} · ${tokens} of the last picture` : {
      ready: `${model.get("live") ? "" : "a saved page · "}${tokens}`,
      working: `reading ${box.length()} characters …`,
      empty: "nothing to read yet",
      error: `${trouble || model.get("message")}${picture ? " · the picture below is still the one before" : ""}`,
    }[/** @type {"ready"} */ (state)];
    box.say(message, state === "error" || lost !== "", state === "working" && picture !== null);
    set(root, { "data-state": state, "data-kernel": get("kernel") });
    hint.hidden = state !== "empty";
    body.hidden = foot.hidden = state === "empty" || !picture;
  }

  let width = 0; // of the room that was measured last

  /** All sizes hang on these, so what is drawn before they are known is laid out for nothing. */
  function measureRoom() {
    const scale = model.get("scale") ?? 1;
    root.style.setProperty("--bl-scale", String(scale));
    const compact = model.get("compact") ?? onSlide(root);
    set(root, { "data-compact": compact, "data-room": roomOf(root.clientWidth, scale, compact || innerHeight < LOW) });
  }

  /** The scale, the theme or the room has changed; colours of the theme are known only once we stand in the page. @returns whether there was room to draw in */
  function refit() {
    measureRoom();
    forgetColours();
    box.fit();
    width = body.clientWidth;
    if (!picture || width === 0) return false; // hidden, or in a page that is: there is nothing to measure yet
    panel.fit();
    drawAll();
    return true;
  }

  /** What scrolls sideways here, and is wider than paper, is printed in pieces, or smaller: nothing is cut off. */
  function beforePrint() {
    const inSight = (/** @type {Element} */ box) => box.getClientRects().length > 0;
    [...body.querySelectorAll("[role=grid]")].filter(inSight).forEach(splitGrid);
    for (const box of /** @type {NodeListOf<HTMLElement>} */ (body.querySelectorAll("*"))) {
      if (box.scrollWidth > Math.max(box.clientWidth, PAPER) && /auto|scroll/.test(getComputedStyle(box).overflowX) && !box.matches(".bl-strip")) box.style.setProperty("zoom", String(PAPER / box.scrollWidth));
    }
  }

  /** A grid of more columns than paper has room for: as many below each other as it takes, each with the rows' names. @param {any} grid */
  function splitGrid(grid) {
    const [name, cell] = grid.querySelector("[role=row]")?.children ?? [];
    if (!cell || grid.scrollWidth <= PAPER || grid.querySelector("canvas")) return;
    const fits = Math.max(1, Math.floor((PAPER - name.offsetWidth) / (cell.offsetWidth + 1)));
    const columns = name.parentElement.children.length - 1;
    for (let from = 0; from < columns; from += fits) {
      const part = grid.cloneNode(true);
      set(part, { "data-on-paper": true });
      part.style.setProperty("--bl-count", String(fits));
      for (const element of part.querySelectorAll("[id]")) element.removeAttribute("id");
      for (const row of part.children) [...row.children].forEach((other, i) => i > 0 && (i <= from || i > from + fits) && other.remove());
      grid.before(part);
    }
    grid.hidden = true;
  }

  function afterPrint() {
    for (const box of body.querySelectorAll("[style*=zoom]")) /** @type {HTMLElement} */ (box).style.removeProperty("zoom");
    for (const part of body.querySelectorAll("[data-on-paper]")) {
      /** @type {HTMLElement} */ (part.parentElement?.querySelector("[role=grid]:not([data-on-paper])")).hidden = false;
      part.remove();
    }
  }
  addEventListener("beforeprint", beforePrint);
  addEventListener("afterprint", afterPrint);
  undo.push(
    () => removeEventListener("beforeprint", beforePrint),
    () => removeEventListener("afterprint", afterPrint),
  );

  const menus = /** @type {Stage["menus"]} */ ([]);
  const menuInSight = () => menus.find(({ element }) => element.getClientRects().length > 0);

  /** "e" opens the menu of changes, "r" refutes them; Ctrl+Z takes one back. @param {KeyboardEvent} event */
  function pressed(event) {
    if (event.key === "Escape" && worth.close()) {
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    const typing = /** @type {Element} */ (event.target).matches("textarea, input[type=text], input[type=number]");
    if (typing || !model.get("editable") || !get("live") || event.altKey) return;
    const command = event.ctrlKey || event.metaKey;
    const menu = menuInSight();
    if (event.key === "e" && !command && menu) {
      menu.open(null);
    } else if (event.key === "r" && !command && worth.refute()) {
      // taken
    } else if (command && event.key.toLowerCase() === "z") {
      if (event.shiftKey) runs.redo();
      else runs.undo();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
  root.addEventListener("keydown", pressed);

  /** A right-click selects what a click selects, and opens its menu. @param {MouseEvent} event */
  function rightClicked(event) {
    const on = /** @type {Element} */ (event.target).closest(CHANGEABLE);
    const menu = menuInSight();
    if (!on || !menu || event.shiftKey) return; // everywhere else the menu of the notebook, or of the browser, is meant
    event.preventDefault();
    event.stopPropagation();
    const { clientX, clientY } = event;
    event.target?.dispatchEvent(new MouseEvent("click", { bubbles: true, clientX, clientY }));
    menu.open({ x: clientX, y: clientY });
  }
  root.addEventListener("contextmenu", rightClicked);

  let frame = 0;
  function drawSoon() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(safely(drawAll));
  }
  undo.push(() => cancelAnimationFrame(frame));

  // ---- reading another text ----

  /** Whether the last text typed here has no answer yet. */
  function waiting() {
    return get("live") && asked > model.get("answered");
  }

  /** @param {string} text @param {string} problem */
  function ask(text, problem) {
    trouble = problem;
    if (!problem) {
      asked = Math.max(asked, model.get("typed").number, model.get("answered")) + 1;
      model.set("typed", { text, number: asked });
      model.save_changes();
      knock();
    }
    drawState();
  }

  function cancel() {
    box.write(picture?.text ?? "");
    asked = model.get("answered"); // nothing is waited for, whatever Python is doing
    drawState();
  }

  /** What only a kernel can do is switched off, or on again; what has been read is still to be looked at. */
  function kernelChanged() {
    freeze();
    drawAll();
    refit(); // pictures that are still on their way say so
  }

  function freeze() {
    if (!model.get("live")) box.freeze("a saved page: reading another text needs the model");
    else box.freeze(get("kernel") === "gone" ? NO_KERNEL.gone : "");
  }

  // ---- listening ----

  /** Errors are shown where the person looks, and the last good picture stays. @param {() => void} step */
  function safely(step) {
    return () => {
      try {
        step();
      } catch (error) {
        trouble = `the page could not draw this: ${error}`;
        drawState();
        throw error;
      }
    };
  }

  /** @param {string} change @param {() => void} step */
  function listen(change, step) {
    const heard = () => hear(step);
    for (const event of change.split(" ")) { // one a call: several are Backbone's habit, not anywidget's contract
      model.on(event, heard);
      undo.push(() => model.off(event, heard));
    }
  }

  const panel = makePanel({
    id,
    root,
    body: panelBody,
    ...zones,
    runs: runs.element,
    worth: worth.element,
    set: runs.put,
    wish: runs.ask,
    menus,
    get,
    choose,
    listen,
    drawSoon,
    drawNow: drawAll,
    drawOnce,
    mark: strip.mark,
    say(...words) {
      const sentence = make("p", {}, ...words);
      if (live.textContent !== sentence.textContent) live.replaceChildren(...sentence.childNodes);
    },
    showCode({ code: parts }, numbers) {
      code.show(parts.map((/** @type {string} */ part, /** @type {number} */ i) => (i % 2 ? String(numbers[part]) : part)).join(""));
    },
    read: box.write,
    undo,
  });

  listen(`change:picture change:trace_rows change:trace_row change:run change:runs change:compared change:changes change:off change:worth change:tries change:steered change:metric change:answer change:rival change:over change:editable ${SELECTION.map((trait) => `change:${trait}`).join(" ")}`, drawOnce);
  listen("change:state change:message change:answered", drawState);
  listen("change:scale change:compact", refit);
  const resized = new ResizeObserver(
    safely(() => {
      if (body.clientWidth !== width) refit(); // else it has only become longer or shorter
    }),
  );
  resized.observe(body);
  const themed = new MutationObserver(
    safely(() => {
      refit();
      if (body.clientWidth === 0) requestAnimationFrame(safely(refit)); // Jupyter hides the page for a moment
    }),
  );
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", refit);
  undo.push(
    () => resized.disconnect(),
    () => themed.disconnect(),
    () => system.removeEventListener("change", refit),
  );
  freeze();
  safely(() => {
    measureRoom();
    readPicture();
    drawFrame();
    if (!refit()) drawAll();
  })();
  return () => {
    for (const step of undo) step();
    root.remove();
  };
}
