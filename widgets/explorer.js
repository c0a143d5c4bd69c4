// @ts-check
// The explorer: the views of one text as tabs, under one text box, one token strip and one selection.
// A tab's panel is built when its data is here for the first time: when the tab was opened, or with a saved page.
//
// What tests and other views can rely on (what surrounds the panel is in lib/frame.js):
//   .bloomlab[data-view="explorer"]     the root; data-tab: the open tab; what the open panel says of itself
//   [role="tab"][data-tab="map | tokens | attention | alibi | hidden | predictions | writing"]   takes the arrow keys
//   [data-panel="map | tokens | …"]      the tab's panel; hidden but for the open one
//   [data-part="tab-says"]              why the open tab has no picture, or that it is on its way
import { alibiPanel } from "./alibi/alibi.js";
import { attentionPanel } from "./attention/attention.js";
import { hiddenPanel } from "./hidden/hidden.js";
import { lastOf, make, set } from "./lib/dom.js";
import { viewFrame } from "./lib/frame.js";
import { zonesIn } from "./lib/zones.js";
import { mapPanel } from "./map/map.js";
import { predictionsPanel } from "./predictions/predictions.js";
import { tokensPanel } from "./tokens/tokens.js";
import { writingPanel } from "./writing/writing.js";

const TABS = /** @type {[string, string, (stage: import("./lib/frame.js").Stage) => import("./lib/frame.js").Panel][]} */ ([
  ["map", "Map", mapPanel],
  ["tokens", "Tokens", tokensPanel],
  ["attention", "Attention", attentionPanel],
  ["alibi", "ALiBi", alibiPanel],
  ["hidden", "Hidden states", hiddenPanel],
  ["predictions", "Predictions", predictionsPanel],
  ["writing", "Writing", writingPanel],
]);
const PASSING = 60; // milliseconds for which a tab must stay open to be computed
const SHARED = ["tab", "layer", "head", "query", "key", "live", "kernel", "scale", "editable", "run", "runs", "state", "donor", "off", "wished", "heard", "worth", "languages"];

/**
 * The stage of a panel inside the explorer, whose traits have names of their own there.
 * @param {import("./lib/frame.js").Stage} stage @param {string} name @param {HTMLElement} body
 * @returns {import("./lib/frame.js").Stage}
 */
function stageOf(stage, name, body) {
  const full = (/** @type {string} */ trait) => (SHARED.includes(trait) ? trait : `${name}_${trait}`);
  return {
    ...stage,
    id: `${stage.id}-${name}`,
    body,
    ...zonesIn(body),
    get: (trait) => stage.get(full(trait)),
    choose: (places) => stage.choose(Object.fromEntries(Object.entries(places).map(([trait, value]) => [full(trait), value]))),
    listen: (change, step) => stage.listen(change.replace(/change:(\w+)/g, (_, trait) => `change:${full(trait)}`), step),
  };
}

/**
 * @param {import("./lib/frame.js").Stage} stage
 * @returns {import("./lib/frame.js").Panel}
 */
export function explorerPanel(stage) {
  stage.body.replaceChildren(); // each tab has zones of its own
  const says = make("p", { class: "bl-tab-says", role: "status", "data-part": "tab-says" });
  const tabs = TABS.map(([name, word, makePanel]) => {
    const button = make(
      "button",
      { class: "bl-tab", type: "button", role: "tab", id: `${stage.id}-tab-${name}`, "aria-controls": `${stage.id}-${name}`, "data-tab": name, "data-lm-suppress-shortcuts": "true" },
      word,
    );
    const body = make("div", { class: "bl-panel-body", role: "tabpanel", id: `${stage.id}-${name}`, "aria-labelledby": button.id, "data-panel": name });
    button.addEventListener("click", () => openTab(name));
    return { name, button, body, makePanel, stage: stageOf(stage, name, body), panel: /** @type {any} */ (null), shown: /** @type {unknown} */ (null) };
  });
  const list = make("div", { class: "bl-tabs", role: "tablist", "aria-label": "views of this text" }, ...tabs.map(({ button }) => button));
  list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const at = tabs.indexOf(open());
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const next = tabs[(to + tabs.length) % tabs.length];
    openTab(next.name);
    next.button.focus();
  });
  stage.body.append(make("div", { class: "bl-tab-line" }, list, stage.runs, stage.worth), says, ...tabs.map(({ body }) => body));

  let passing = ""; // the tab that is open here, and not known to Python yet
  const stay = lastOf(PASSING, /** @type {(name: string) => void} */ ((name) => {
    passing = "";
    stage.choose({ tab: name });
  }));
  stage.undo.push(stay.cancel);

  /** @param {string} name */
  function openTab(name) {
    passing = name;
    stage.drawNow();
    stay(name);
  }

  const open = () => tabs.find(({ name }) => name === (passing || stage.get("tab"))) ?? tabs[0];
  let opened = /** @type {unknown} */ (null); // the tab that was drawn last
  let pointed = /** @type {number | null} */ (null);

  /** The open tab's panel, showing its picture; null while there is none. */
  function readyPanel() {
    const tab = open();
    const picture = tab.stage.get("picture");
    if (!picture?.tokens || stage.get("troubles")[tab.name]) return null;
    if (!tab.panel) tab.panel = tab.makePanel(tab.stage);
    if (tab.shown === picture && opened === tab) return tab.panel;
    tab.body.hidden = false; // it is measured
    if (tab.shown !== picture) tab.panel.show(picture);
    tab.shown = picture;
    if (opened !== tab) tab.panel.fit(); // while it was hidden the room may have changed
    opened = tab;
    return tab.panel;
  }

  function draw() {
    const tab = open();
    for (const { name, button, body } of tabs) {
      set(button, { "aria-selected": String(name === tab.name), tabindex: name === tab.name ? 0 : -1 });
      if (name !== tab.name) body.hidden = true;
    }
    set(stage.root, { "data-tab": tab.name });
    const panel = readyPanel();
    tab.body.hidden = !panel;
    says.hidden = panel !== null;
    if (panel) {
      set(says, { "data-waits": false });
      panel.draw();
      return;
    }
    opened = null;
    const query = stage.get("query");
    stage.mark({ query, key: stage.get("key") }, pointed, null);
    stage.say();
    stage.showCode({ code: [] }, {});
    const trouble = stage.get("troubles")[tab.name];
    says.textContent = trouble || (stage.get("page") ? "computing …" : stage.get("live") ? "computing … (Kernel → Interrupt stops it)" : "this tab is not in the page: computing it needs the kernel");
    set(says, { "data-trouble": Boolean(trouble), "data-waits": !trouble && stage.get("live") });
  }

  stage.listen(`change:tab change:troubles ${TABS.map(([name]) => `change:${name}_picture`).join(" ")}`, stage.drawOnce);

  return {
    draw,
    show() {
      pointed = null;
    },
    fit() {
      const before = opened;
      const panel = readyPanel();
      if (opened === before) panel?.fit(); // else it has just been fitted
    },
    tables: () => readyPanel()?.tables?.() ?? [],
    point(token) {
      pointed = token;
      const panel = readyPanel();
      if (panel) panel.point(token);
      else stage.drawSoon();
    },
  };
}

export default {
  render: (/** @type {{model: any, el: HTMLElement}} */ view) => viewFrame({ ...view, name: "explorer", makePanel: explorerPanel }),
};
