// @ts-check
// ALiBi, how BLOOM knows where a token stands: every head's slope, the line it draws through the text, how far that lets it
// look, and what the trained heads make of it. All linked: a head, a layer and a distance (from one token to another).
//
// What tests and other views can rely on:
//   .bloomlab[data-view="alibi"]     the root; data-state, data-layer, data-head, data-query, data-key, data-far;
//                                    data-distance: the one that is read now; data-tokens; data-drawn
//   [data-part="text" | "says" | "cancel" | "strip" | "live" | "code" | "copy" | "stamp"]   as in the explorer;
//                                    in the strip a bar is the share that position alone gives a token
//   [data-part="slopes"] [data-head] a head's slope; takes the arrow keys: heads, and layers up and down; the slope desk
//                                    with its buttons is in desk.js, what it does to the text in effect.js
//   [data-part="bias"]               the lines; takes the arrow keys: distance, and heads up and down
//   [data-part="reach"] [data-head]  a head's row; in it [data-mark="reach" | "alone" | "layer"], data-at in tokens
//   [data-part="position" | "content"]   shares of every head of every layer, one pixel each in its …-canvas
//   [data-fact="slope | reach | bias | left | distance | previous | position | content | tie"]   numbers, as read
//   [data-part="forms"]              slope × key beside slope × distance; data-apart: how far the shares differ
//   [data-part="lab"]                the lab, see lengthlab.js
//   [data-part="other"]              of a model without ALiBi: what stands in its place, see other.js
// Of two runs, the difference: the numbers before and after, and [data-part="head-change"], see change.js
import { headChange } from "./change.js";
import { slopeDesk } from "./desk.js";
import { textEffect } from "./effect.js";
import { biasAt, bothForms, REACH_NATS, reachName, tokensBack } from "./reach.js";
import { floats, tokenNames } from "../lib/causal.js";
import { otherPositions } from "./other.js";
import { headCells } from "./cells.js";
import { changeMenu } from "../lib/change.js";
import { lengthLab } from "./lengthlab.js";
import { PROBABILITY_COLOURS } from "../lib/colours.js";
import { make, quoted, set } from "../lib/dom.js";
import { viewFrame } from "../lib/frame.js";
import { legend } from "../lib/legend.js";
import { fixed, scientific, signed, slopeName } from "../lib/numbers.js";
import { plot, roundStep } from "../lib/plot.js";
import { toggles } from "../lib/toggles.js";
import { stepper } from "../lib/zones.js";

const DEEPEST = 6; // nats: the lines are drawn to here, twice the reach
const NEAREST = 0.25; // tokens: where the axis of reaches begins; what is nearer stands at its edge
const FARS = [
  [0, "this text"],
  [256, "256"],
  [2048, "2,048 tokens"],
];
const FACTS = [
  ["slope", "slope", "nats for each token farther back"],
  ["reach", "reach", "where 3 nats are gone, and a twentieth of the weight is left"],
  ["bias", "adds there", ""],
  ["left", "weight left", "e to the power of that"],
  ["distance", "really looks back", ""],
  ["previous", "gives the previous token", ""],
  ["position", "position alone explains", "attention that lies where position alone would put it"],
  ["content", "content alone explains", "attention that lies where it would lie without ALiBi"],
  ["tie", "blind in bfloat16 from", ""],
];
const OF_SLOPES = ["slope", "reach", "bias", "left", "position", "content", "tie"];
const BARS = ["left", "previous", "position", "content"];

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @returns {import("../lib/frame.js").Panel}
 */
export function alibiPanel(stage) {
  let picture = /** @type {any} */ (null);
  let names = /** @type {string[]} */ ([]);
  let measured = floats(null);
  let shownFrom = /** @type {any[]} */ ([]); // what `measured` and `before` were made of
  let before = floats(null); // of a difference: of the run it is measured by
  let pointedHead = /** @type {{layer?: number, head: number} | null} */ (null);
  let pointedDistance = /** @type {number | null} */ (null);
  let pointedToken = /** @type {number | null} */ (null);

  const chosen = () => ({
    layer: stage.get("layer"),
    head: stage.get("head"),
    query: stage.get("query"),
    key: Math.min(stage.get("key"), stage.get("query")),
    far: stage.get("far"),
  });
  const farthest = () => stage.get("far") || Math.max(8, names.length - 1);

  /** One of the measured numbers: 0 mean distance, 1 previous token, 2 position's share, 3 content's. */
  const number = (/** @type {number} */ what, /** @type {number} */ layer, /** @type {number} */ head, of = measured) =>
    of[(what * picture.layers + layer) * picture.heads + head];

  const without = () => Boolean(picture?.other); // it knows positions otherwise
  const differs = () => Boolean(picture?.difference);
  /** The slopes that a layer has used, and what follows from them. @returns {{slopes: number[], of_heads: any}} */
  const ofLayer = (/** @type {number} */ layer, run = picture) => run.by_layer?.[layer] ?? run;

  // ---- choosing ----

  /** @param {number} layers @param {number} heads */
  function stepHead(layers, heads) {
    const { layer, head } = chosen();
    const [l, h] = [layer + layers, head + heads];
    if (l >= 0 && l < picture.layers && h >= 0 && h < picture.heads) stage.choose({ layer: l, head: h });
  }

  const pointAtHead = (/** @type {{layer?: number, head: number} | null} */ place) => {
    if (place?.head === pointedHead?.head && place?.layer === pointedHead?.layer) return;
    pointedHead = place;
    stage.drawSoon();
  };
  const pickHead = (/** @type {number} */ layer, /** @type {number} */ head) => stage.choose({ layer, head });

  /** Elements with data-head, and data-layer where they have one. @param {Event} event */
  const headUnder = (event) => {
    const at = /** @type {Element} */ (event.target).closest("[data-head]");
    if (!at || at === stage.root) return null;
    const layer = /** @type {Element} */ (event.target).getAttribute("data-layer");
    return { head: Number(at.getAttribute("data-head")), ...(layer === null ? {} : { layer: Number(layer) }) };
  };
  const followHeads = (/** @type {HTMLElement} */ element) => {
    element.addEventListener("pointerover", (event) => pointAtHead(headUnder(event)));
    element.addEventListener("pointerleave", () => pointAtHead(null));
    element.addEventListener("click", (event) => {
      const place = headUnder(event);
      if (place) stage.choose(/** @type {Record<string, number>} */ (place));
    });
  };

  // ---- the pieces ----

  const desk = slopeDesk(stage, { step: stepHead });
  const slopePlot = desk.axis;
  followHeads(slopePlot.area);
  const effect = textEffect();
  const other = otherPositions();
  const change = headChange(stage, { pick: pickHead, point: pointAtHead });

  const biasPlot = plot({
    part: "bias",
    says: "what each head adds to a score, by distance; left and right choose the distance, up and down the head",
    role: "application",
    point(place) {
      pointedDistance = place ? Math.round(place.x * farthest()) : null;
      stage.drawSoon();
    },
    pick(place) {
      const distance = Math.round(place.x * farthest());
      if (distance <= chosen().query) stage.choose({ key: chosen().query - distance });
    },
    key({ key: pressed }) {
      const { query, key } = chosen();
      if (pressed === "ArrowUp" || pressed === "ArrowDown") stepHead(0, pressed === "ArrowUp" ? -1 : 1);
      else if (pressed === "ArrowLeft" || pressed === "ArrowRight") {
        const to = pressed === "ArrowLeft" ? key + 1 : key - 1; // farther back is to the right
        if (to >= 0 && to <= query) stage.choose({ key: to });
      } else return false;
      return true;
    },
  });
  const fars = toggles({ id: `${stage.id}-far`, says: "how far back", choices: FARS, choose: (far) => stage.choose({ far }) });

  const reachRows = make("div", { class: "bl-reach", "data-part": "reach", dir: "ltr" });
  followHeads(reachRows);
  /** @type {any[]} */
  let rows = [];
  const textEnd = make("p", { class: "bl-how" });

  const shares = Object.fromEntries(
    [
      ["position", "position alone explains"],
      ["content", "content alone explains"],
    ].map(([part, says]) => [part, headCells({ part, says: `share of each head's pattern that ${says}`, pick: pickHead, point: pointAtHead })]),
  );
  const shareScale = legend();

  const factTitle = make("h3", { class: "bl-title" });
  const facts = Object.fromEntries(
    FACTS.map(([name]) => [
      name,
      {
        how: make("span", { class: "bl-how" }),
        bar: make("span", { class: "bl-fact-bar", "aria-hidden": "true" }),
        number: make("td", { class: "bl-value", "data-fact": name }),
      },
    ]),
  );
  const factTable = make(
    "table",
    { class: "bl-facts" },
    make(
      "tbody",
      {},
      ...FACTS.map(([name, word, plain]) =>
        make(
          "tr",
          { title: plain },
          make("th", { scope: "row" }, word, facts[name].how, ...(BARS.includes(name) ? [facts[name].bar] : [])),
          facts[name].number,
        ),
      ),
    ),
  );

  const formsPlot = plot({ part: "forms", says: "slope times key and slope times distance, for every key of one query" });
  const formsSays = make("p", { class: "bl-note" });

  facts.slope.number.parentElement.after(desk.one);

  const lab = lengthLab(stage);

  /** @param {string} plain @param {string} term */
  function heading(plain, term) {
    return make("h3", { class: "bl-title" }, plain, make("span", { class: "bl-how" }, term));
  }
  const panel = (/** @type {string} */ name, /** @type {(Node | string)[]} */ ...children) =>
    make("section", { class: "bl-panel", "aria-label": name }, ...children);

  const slopePanel = panel("slopes", heading("how steep each head is ", "slope, log axis · reach on the right"), slopePlot.element, desk.all);
  const barSays = make("p", { class: "bl-how" }, "the bar under a token: what position alone would give it, seen from the chosen token");
  stage.which.append(slopePanel, barSays);
  const steps = stepper(stage, ["layer", "head"]);
  const biasPanel = panel("bias by distance", heading("what distance costs ", "ALiBi bias · nats ↑ tokens back →"), fars.element, biasPlot.element);
  biasPanel.classList.add("bl-panel-bias");
  stage.where.append(steps.element, change.element, biasPanel, other.element, effect.element);
  const menu = changeMenu(stage);
  stage.why.append(menu.element, panel("one head", factTitle, factTable));
  const ofOneRun = [
    panel(
      "reach and measured distance",
      heading("how far a head may look, and does ", "reach · mean attention distance"),
      make(
        "p",
        { class: "bl-key" },
        ...[["reach", "reach"], ["alone", "position alone, this text"], ["chosen", "the chosen layer"], ["layer", "other layers"]].map(([mark, word]) =>
          make("span", {}, make("span", { class: "bl-mark", "data-mark": mark === "chosen" ? "layer" : mark, "data-chosen": mark === "chosen" }), ` ${word}`),
        ),
      ),
      reachRows,
      textEnd,
    ),
    panel(
      "shares",
      heading("what makes the pattern ", "share explained, layer ↓ · head →"),
      make(
        "div",
        { class: "bl-pair" },
        make("div", {}, make("p", { class: "bl-how" }, "by position alone"), shares.position.element),
        make("div", {}, make("p", { class: "bl-how" }, "by content alone"), shares.content.element),
      ),
      shareScale.element,
      make("p", { class: "bl-note" }, "Both can be large: a flat pattern resembles either. They need not sum to 1."),
    ),
    panel("the two forms of its bias", heading("as trained and as in the paper ", "slope × key, slope × distance: one softmax"), formsPlot.element, formsSays),
  ];
  stage.more.append(...ofOneRun, lab.element);

  // ---- another text ----

  /** @param {any} another */
  function show(another) {
    picture = another;
    names = tokenNames(picture);
    shownFrom = [stage.get("measured"), stage.get("before")];
    [measured, before] = shownFrom.map(floats);
    pointedHead = pointedDistance = pointedToken = null;
    desk.show(picture);
    measureDesk();
    showReach();
    for (const [what, part] of [[2, "position"], [3, "content"]]) {
      const size = picture.layers * picture.heads;
      shares[part].show(measured.subarray(Number(what) * size, (Number(what) + 1) * size), picture.layers, picture.heads);
    }
    shareScale.show(PROBABILITY_COLOURS, "share", [[0, "0"], [0.25, "0.25"], [0.5, "0.5"], [0.75, "0.75"], [1, "1"]]);
    for (const element of [biasPanel, ...ofOneRun]) element.hidden = differs(); // what they say is of one run
    for (const element of [slopePanel, barSays]) element.hidden = without();
    for (const name of OF_SLOPES) facts[name].number.parentElement.hidden = without();
    desk.one.hidden = without();
    if (without()) for (const element of [biasPanel, ofOneRun[0], ofOneRun[2]]) element.hidden = true; // they are of slopes
    other.show(picture.other, chosen().query - chosen().key);
    change.element.hidden = !differs();
    facts.tie.number.parentElement.hidden = differs() || without();
    if (differs()) change.show(picture, before, measured);
  }

  /** The desk follows the layer: an edit in Python may have changed the slopes of one alone. */
  function measureDesk() {
    const { layer } = chosen();
    desk.measure(ofLayer(layer).slopes, differs() ? ofLayer(layer, picture.difference.before).slopes : picture.trained);
  }

  const reachPlace = (/** @type {number} */ tokens) => {
    const most = 1.15 * Math.max(...ofLayer(chosen().layer).of_heads.reach, names.length); // that of a flat head, null, counts as 0
    return Math.min(1, Math.log(Math.max(tokens, NEAREST) / NEAREST) / Math.log(most / NEAREST));
  };

  function showReach() {
    const last = names.length - 1;
    const { slopes, of_heads: of } = ofLayer(chosen().layer);
    rows = slopes.map((/** @type {number} */ slope, /** @type {number} */ head) => {
      const reach = of.reach[head] ?? Infinity;
      const mark = (/** @type {string} */ kind, /** @type {number} */ at, /** @type {string} */ says, /** @type {Record<string, any>} */ more = {}) => {
        const span = make("span", { class: "bl-mark", "data-mark": kind, "data-at": at, title: says, ...more });
        span.style.setProperty("--bl-x", String(reachPlace(at)));
        return span;
      };
      const line = make("span", { class: "bl-reach-line" });
      line.style.setProperty("--bl-x", String(reachPlace(reach)));
      const track = make(
        "span",
        { class: "bl-reach-track" },
        line,
        mark("reach", reach, `head ${head}: reach ${reachName(slope)}`),
        mark("alone", of.alone[head], `position alone, in this text: ${fixed(of.alone[head], 2)} tokens`),
        ...Array.from({ length: picture.layers }, (_, layer) =>
          mark("layer", number(0, layer, head), `layer ${layer}, head ${head}: ${fixed(number(0, layer, head), 2)} tokens back on average`, { "data-layer": layer }),
        ),
      );
      return make("div", { class: "bl-reach-row", "data-head": head }, make("span", { class: "bl-axis" }, String(head)), track);
    });
    const ticks = [1, 4, 16, 64, 256, 1024].filter((tokens) => reachPlace(tokens) < 1);
    const axis = make("span", { class: "bl-reach-track bl-reach-axis", "aria-hidden": "true" }, ...ticks.map((tokens) => tickAt(reachPlace(tokens), String(tokens))));
    const end = make("span", { class: "bl-reach-end", "aria-hidden": "true" });
    end.style.setProperty("--bl-x", String(reachPlace(last)));
    const lines = make("div", { class: "bl-reach-row bl-reach-back", "aria-hidden": "true" }, make("span", { class: "bl-axis" }), make("span", { class: "bl-reach-track" }, end));
    reachRows.replaceChildren(lines, ...rows, make("div", { class: "bl-reach-row" }, make("span", { class: "bl-axis" }), axis));
    textEnd.textContent = `tokens back, log axis; dashed: as far as this text goes, ${last}`;
  }

  /** @param {number} at @param {string} text */
  function tickAt(at, text) {
    const tick = make("span", { class: "bl-tick" }, text);
    tick.style.setProperty("--bl-at", String(at));
    return tick;
  }

  // ---- drawing ----

  let painted = "";
  function fit() {
    painted = "";
    other.paint();
    slopePlot.paint();
    change.paint();
    lab.show();
  }

  function draw() {
    const { layer, head, query, key, far } = chosen();
    const at = { layer: pointedHead?.layer ?? layer, head: pointedHead?.head ?? head };
    const distance = pointedDistance ?? query - key;
    measureDesk();
    const slopes = desk.slopes();
    const slope = slopes[at.head];

    const looks = [at.head, query, far, farthest(), ...slopes].join();
    if (looks !== painted) {
      painted = looks;
      paintBias(at.head, slopes);
      paintForms(slope, query);
    }
    biasPlot.mark(distance / farthest(), -biasAt(slope, distance) / DEEPEST);
    const alone = sharesFrom(slope, query);
    const lit = distance <= query ? query - distance : null;
    stage.mark({ query, key: lit ?? key }, pointedToken ?? (pointedDistance === null ? null : lit), differs() || without() ? null : (token) => alone[token]);
    desk.draw(head, pointedHead?.head ?? null);
    if (without()) desk.one.hidden = true;
    other.show(picture.other, query - key);
    effect.show(picture.effect, desk.refusal() === "" && !differs() && !without() ? "Drag a slope, or press Shift and ↑ or ↓ on it: what the model says next, and its loss on this text, change here." : "");
    change.mark({ layer, head });
    rows.forEach((row, i) => {
      set(row, { "data-chosen": i === head, "data-pointed": i === pointedHead?.head });
      for (const mark of row.querySelectorAll("[data-layer]")) set(mark, { "data-chosen": Number(mark.getAttribute("data-layer")) === at.layer });
    });
    shares.position.mark({ layer, head });
    shares.content.mark({ layer, head });
    showFacts(at.layer, at.head, slope, distance);
    fars.mark(far);
    if (differs()) {
      const [was, now] = [before, measured].map((of) => fixed(number(0, at.layer, at.head, of), 2));
      stage.say(`layer ${at.layer}, head ${at.head}: it looks ${was === now ? now : `${was} → ${now}`} tokens back on average`);
    } else if (without()) stage.say(`layer ${at.layer}, head ${at.head}: no ALiBi; it looks ${fixed(number(0, at.layer, at.head), 2)} tokens back on average`);
    else stage.say(`layer ${at.layer}, head ${at.head}, slope ${slopeName(slope)}: ${tokensBack(distance)} back it adds ${fixed(biasAt(slope, distance), 3)} nats, weight left ${percent(Math.exp(biasAt(slope, distance)))}`);
    steps.mark({ layer: picture.layers, head: picture.heads });
    menu.show(picture, names, { layer: stage.get("layer"), head: stage.get("head"), query: chosen().query, key: chosen().key, part: "head" });
    stage.showCode(picture, { layer, head, distance: query - key });
    set(stage.root, { "data-far": far, "data-distance": distance });
  }

  const sharesFrom = (/** @type {number} */ slope, /** @type {number} */ query) => bothForms(slope, query).shares;
  const percent = (/** @type {number} */ part) => (part > 0 && part < 0.001 ? `${scientific(100 * part)}\u00a0%` : `${fixed(100 * part, 1)}\u00a0%`);

  /** @param {number} head the one that stands out @param {number[]} slopes */
  function paintBias(head, slopes) {
    const most = farthest();
    const step = Math.max(1, roundStep(most, 6));
    biasPlot.axes({
      left: [0, 1, 2, 3, 4, 5, 6].map((nats) => ({ at: nats / DEEPEST, text: fixed(-nats, 0) })),
      below: Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => ({ at: (i * step) / most, text: String(i * step) })),
    });
    const end = (/** @type {number} */ slope) => Math.min(most, DEEPEST / slope); // where the line leaves the room
    const lineOf = (/** @type {number} */ i) => ({
      points: /** @type {[number, number][]} */ ([[0, 0], [end(slopes[i]) / most, (end(slopes[i]) * slopes[i]) / DEEPEST]]),
      colour: i === head ? "--bl-accent" : "--bl-quiet",
      width: i === head ? 3 : 1,
    });
    const trainedLine = (/** @type {number} */ i) => {
      const to = end(picture.trained[i]);
      return { points: /** @type {[number, number][]} */ ([[0, 0], [to / most, (to * picture.trained[i]) / DEEPEST]]), colour: "--bl-accent", width: 1, dash: [2, 3] };
    };
    const others = slopes.map((/** @type {number} */ _, /** @type {number} */ i) => i).filter((/** @type {number} */ i) => i !== head);
    const reach = REACH_NATS / DEEPEST;
    biasPlot.show(
      [{ points: [[0, reach], [1, reach]], colour: "--bl-ink", width: 1, dash: [4, 4] }, ...others.map(lineOf), ...(desk.times(head) ? [trainedLine(head)] : []), lineOf(head)],
      [
        { x: 1, y: reach, text: "reach: a twentieth is left", before: true },
        ...(names.length - 1 < most && stage.get("far") ? [{ x: (names.length - 1) / most, y: 1, text: "│ this text ends", strong: false }] : []),
      ],
    );
  }

  /** @param {number} slope @param {number} query */
  function paintForms(slope, query) {
    const { trained, paper, shares: share, apart } = bothForms(slope, query);
    const most = slope * query || 1;
    const [across, most2] = [Math.max(1, query), 2 * most];
    const line = (/** @type {number[]} */ values, /** @type {string} */ colour, /** @type {number} */ width) => ({
      points: values.map((value, key) => /** @type {[number, number]} */ ([key / across, (most - value) / most2])),
      colour,
      width,
    });
    const highest = Math.max(...share);
    formsPlot.axes({
      left: [most, 0, -most].map((value) => ({ at: (most - value) / most2, text: value ? signed(value, 2) : "0" })),
      below: [0, ...(query > 1 ? [Math.round(query / 2)] : []), ...(query ? [query] : [])].map((key) => ({ at: key / across, text: `key ${key}` })),
    });
    formsPlot.show(
      [
        { points: share.map((part, key) => [key / across, 1 - (0.9 * part) / highest]), colour: "--bl-line", width: 4 },
        line(trained, "--bl-positive", 2),
        line(paper, "--bl-negative", 2),
      ],
      [
        { x: 0.55, y: 0.12, text: "slope × key", before: true },
        { x: 0.6, y: 0.8, text: "−slope × distance" },
      ],
    );
    set(formsPlot.element, { "data-apart": apart });
    formsSays.replaceChildren(
      `From token ${query} `,
      quoted(names[query]),
      `: the lines are ${fixed(slope * query, 3)} nats apart at every key. Softmax does not notice a constant: the shares (grey) differ by ${apart ? `at most ${scientific(apart)}` : "exactly 0"}.`,
    );
  }

  /** @param {number} layer @param {number} head @param {number} slope @param {number} distance */
  function showFacts(layer, head, slope, distance) {
    const of = ofLayer(layer).of_heads;
    const tie = of.tie[head];
    factTitle.textContent = `layer ${layer}, head ${head}`;
    const say = (/** @type {string} */ name, /** @type {string} */ value, /** @type {string} */ how, /** @type {number | null} */ part = null) => {
      facts[name].number.textContent = value;
      facts[name].how.textContent = how;
      if (part !== null) facts[name].bar.style.setProperty("--bl-part", String(part));
    };
    set(factTable, { "data-differs": differs() });
    if (differs()) {
      showChange(layer, head, slope, distance, say);
      return;
    }
    const bias = biasAt(slope, distance);
    const previous = number(1, layer, head);
    const times = desk.times(head);
    say("slope", slopeName(slope), times ? `nats per token; trained ${times}` : "nats per token");
    say("reach", reachName(slope), "3 ÷ slope");
    say("bias", fixed(bias, 3), `nats, ${tokensBack(distance)} back`);
    say("left", percent(Math.exp(bias)), "e^bias", Math.exp(bias));
    say("distance", `${fixed(number(0, layer, head), 2)} tokens`, `on average; position alone: ${fixed(of.alone[head], 2)}`);
    if (without()) say("distance", `${fixed(number(0, layer, head), 2)} tokens`, "on average");
    say("previous", percent(previous), without() ? "of its attention" : `bound here ${percent(of.bound_here[head])}; in a long text 1 − e^(−slope) = ${percent(of.bound[head])}`, previous);
    if (without()) facts.previous.bar.style.removeProperty("--bl-bound");
    else facts.previous.bar.style.setProperty("--bl-bound", String(of.bound_here[head]));
    say("position", percent(number(2, layer, head)), "of the pattern", number(2, layer, head));
    say("content", percent(number(3, layer, head)), "of the pattern", number(3, layer, head));
    say(
      "tie",
      tie === null ? "nowhere" : `position ${tie}`,
      tie === null ? "up to 4,096 tokens all neighbours differ" : `there slope × ${tie} and slope × ${tie + 1} are stored as the same number`,
    );
  }

  /**
   * The same of a difference: as it is → what if; one number where nothing has changed.
   * @param {number} layer @param {number} head @param {number} slope @param {number} distance
   * @param {(name: string, value: string, how: string, part?: number | null) => void} say
   */
  function showChange(layer, head, slope, distance, say) {
    const { slopes, of_heads: of } = ofLayer(layer, picture.difference.before);
    const was = slopes[head];
    const both = (/** @type {string} */ first, /** @type {string} */ second) => (first === second ? second : `${first} → ${second}`);
    const share = (/** @type {number} */ what) => both(percent(number(what, layer, head, before)), percent(number(what, layer, head)));
    const [from, to] = [was, slope].map((one) => biasAt(one, distance));
    say("slope", both(slopeName(was), slopeName(slope)), "nats per token");
    say("reach", both(reachName(was).replace(/ tokens?/, ""), reachName(slope).replace(/ tokens?/, "")), "tokens, 3 ÷ slope");
    say("bias", both(fixed(from, 3), fixed(to, 3)), `nats, ${tokensBack(distance)} back`);
    say("left", both(percent(Math.exp(from)), percent(Math.exp(to))), "e^bias", Math.exp(to));
    say("distance", both(fixed(number(0, layer, head, before), 2), fixed(number(0, layer, head), 2)), "tokens, on average");
    say("previous", share(1), "of its attention", number(1, layer, head));
    facts.previous.bar.style.setProperty("--bl-bound", String(of.bound_here[head]));
    say("position", share(2), "of the pattern", number(2, layer, head));
    say("content", share(3), "of the pattern", number(3, layer, head));
  }

  // ---- listening ----

  stage.listen("change:far change:question change:whose", () => {
    lab.show();
    stage.drawNow();
  });
  stage.listen("change:measured change:before", () => {
    if (stage.get("measured") === shownFrom[0] && stage.get("before") === shownFrom[1]) return; // they came with the picture
    if (picture && stage.get("picture") === picture && stage.get("measured").byteLength === 16 * picture.layers * picture.heads) {
      show(picture);
      stage.drawOnce();
    }
  });
  stage.listen("change:lengths change:twins", lab.show);
  lab.show();

  return {
    show,
    draw,
    fit,
    point(token) {
      pointedToken = token;
      pointedDistance = token !== null && token <= chosen().query ? chosen().query - token : null;
      stage.drawSoon();
    },
  };
}

export default {
  render: (/** @type {{model: any, el: HTMLElement}} */ view) => viewFrame({ ...view, name: "alibi", makePanel: alibiPanel }),
};
