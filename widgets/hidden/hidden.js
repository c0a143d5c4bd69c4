// @ts-check
// The hidden states: a text box, the token strip, and the residual stream under it: what the model would say at each
// state (the logit lens), how long the vectors are and how they turn, who added what, and a map of the tokens.
//
// What tests and other views can rely on:
//   .bloomlab[data-view="hidden"]          the root; data-state = ready | working | empty | error;
//                                          data-row (a state), data-query (a token), data-mode: what is selected;
//                                          data-tokens: how many there are; data-drawn: counts the pictures drawn
//   [data-part="text"], "says", "cancel"   the text box, the line under it, the button that stops waiting
//   [data-part="strip"] [data-token="N"]   a token
//   [data-part="grid"]                     takes the arrow keys; data-colours = probability | signed; data-limit
//   [data-cell][data-row][data-column]     a cell of it: its word or number; aria-label says all of it
//   [data-part="reading"]                  how far it is, where the window comes a column at a time: reading.js
//   [data-part="cell"]                     data-row, data-token: which cell it explains; [data-fact="…"] its numbers
//   [data-part="parts"] [data-share="N"]   what part N added; [data-share="sum"]; its table takes the arrow keys
//   [data-part="turns"]                    the cosines; takes the arrow keys; data-row, data-other
//   [data-part="map"] [data-dot="N"]       a token on the map; [data-part="slider"] chooses the state
//   [data-part="effects"]                  where the answer is carried, a map of effects: effects.js
//   input[name][value="prediction|script|entropy|rank|norm|added"]   the toggles
//   [data-part="live"], "code", "copy", "stamp"
// Colours: probabilities as in the explorer; script: a colour for each; entropy, rank (log) and norm as a share of the largest; added: signed.
import { floats, tokenNames } from "../lib/causal.js";
import { blockColours, blockStep, divergingColours, PROBABILITY_COLOURS, probabilityStep, signedStep } from "../lib/colours.js";
import { changeMenu } from "../lib/change.js";
import { isolated, make, set, themeColour } from "../lib/dom.js";
import { viewFrame } from "../lib/frame.js";
import { legend } from "../lib/legend.js";
import { fixed, probability, signed } from "../lib/numbers.js";
import { stateCell, streamParts } from "./cell.js";
import { effectMap } from "./effects.js";
import { stateGrid } from "./grid.js";
import { stateTurns, tokenMap } from "./maps.js";
import { readingLine } from "./reading.js";
import { partName, placeOfRow, rowOfPlace, scriptKind, scriptMark, stateName, stateNumbers } from "../lib/states.js";
import { toggles } from "../lib/toggles.js";
import { stepper } from "../lib/zones.js";

const VALUES = [
  ["prediction", "next token", "what it would say next if it stopped here: the logit lens"],
  ["script", "script", "the same words, in the colour of the script they are written in"],
  ["entropy", "entropy", "how unsure it is, in nats"],
  ["rank", "rank", "the rank of the token that follows, 1 for the likeliest"],
  ["norm", "length", "how long the vector is: its norm"],
  ["added", "added", "the share of the last state that this step added; the shares of a column sum to 1"],
];
const TICKS = /** @type {[number, string][]} */ ([0, 0.01, 0.1, 0.25, 0.5, 1].map((p) => [Math.sqrt(p), String(p)]));

/**
 * @param {import("../lib/frame.js").Stage} stage
 * @returns {import("../lib/frame.js").Panel}
 */
export function hiddenPanel(stage) {
  // ---- what the page sets and shows ----

  let picture = /** @type {import("../lib/states.js").HiddenPicture} */ (/** @type {unknown} */ (null));
  let names = /** @type {string[]} */ ([]);
  let numbers = /** @type {any} what stateNumbers gives, or null when others have come */ (null);
  let points = floats(null);
  let pointed = /** @type {import("../lib/states.js").Place | null} */ (null);
  let pointedToken = /** @type {number | null} */ (null);

  const chosen = () => ({ row: rowOfPlace(stage.get("layer"), stage.get("part")), token: stage.get("query"), mode: stage.get("mode") });

  // ---- the pieces ----

  const grid = stateGrid({ pick: choose, point: pointAt });
  const scale = legend();
  const cell = stateCell();
  const parts = streamParts({
    pick: (row) => choose({ row }),
    point: (row) => pointAt(row === null ? null : { row, token: pointed?.token ?? chosen().token }),
  });
  const turns = stateTurns({ pick: (row) => choose({ row }) });
  const map = tokenMap({ id: stage.id, pick: (token) => choose({ token }), step: (row) => choose({ row }) });
  const modes = toggles({ id: `${stage.id}-mode`, says: "what the cells show", choices: VALUES, choose: (mode) => stage.choose({ mode }) });
  const reading = readingLine(stage);
  const explains = make("p", { class: "bl-note", "data-part": "explains" });
  stage.which.append(parts.element);
  const steps = stepper(stage, ["layer"]);
  stage.where.append(
    steps.element,
    make(
      "section",
      { class: "bl-panel bl-panel-grid", "aria-label": "every state of every token" },
      make("h3", { class: "bl-title" }, "what it would say at every step ", make("span", { class: "bl-how" }, "logit lens")),
      modes.element,
      reading.element,
      grid.element,
      scale.element,
      explains,
    ),
  );
  const menu = changeMenu(stage);
  stage.why.append(menu.element, cell.element);
  const effects = effectMap(stage);
  stage.more.append(effects.element, turns.element, map.element);

  // ---- choosing and pointing ----

  /** @param {{row?: number, token?: number}} place a state, a token, or both */
  function choose({ row, token }) {
    const tokens = token === undefined ? {} : { query: token, key: Math.min(stage.get("key"), token) };
    stage.choose({ ...(row === undefined ? {} : placeOfRow(row)), ...tokens });
  }

  /** @param {import("../lib/states.js").Place | null} place */
  function pointAt(place) {
    if (place?.row === pointed?.row && place?.token === pointed?.token) return;
    pointed = place;
    pointedToken = place && place.token;
    stage.drawSoon();
  }

  // ---- drawing: the picture when a text was read, the grid when another value is chosen, marks all the time ----

  function readNumbers() {
    numbers = stateNumbers(stage.get, picture);
    grid.show(picture.states, names, numbers, stage.id);
    painted = turned = "";
  }

  let painted = "";
  let turned = "";
  const differs = () => Boolean(/** @type {any} */ (picture)?.difference);
  function paintGrid() {
    const mode = differs() ? "moved" : chosen().mode;
    if (painted === mode) return;
    painted = mode;
    const values = numbers;
    const most = Math.log(picture.vocab);
    const sums = mode === "added" && values.summed;
    const kinds = mode === "script" ? kindsOfScript() : new Map();
    const colours = kinds.size ? blockColours(stage.body, [...kinds.values()]) : sums ? divergingColours(stage.body) : PROBABILITY_COLOURS;
    const colour = (/** @type {number} */ step) => (step < 0 ? themeColour(stage.body, "--bl-wash") : Array.from(colours.subarray(3 * step, 3 * step + 3)));
    const part = (/** @type {number} */ value) => Math.round(255 * Math.min(1, Math.max(0, value)));
    const ticks = (/** @type {(string | number)[]} */ ...texts) =>
      /** @type {[number, string][]} */ (texts.map((text, i) => [i / (texts.length - 1), String(text)]));
    /** @type {Record<string, (place: import("../lib/states.js").Place) => {text: string, mark?: string, step: number}>} */
    const looks = {
      prediction(place) {
        const [{ id: word, shown, script, p }] = values.likeliest(place);
        const follows = word === picture?.tokens[place.token + 1]?.id;
        return { text: shown, mark: `${scriptMark(script)}${follows ? " ✓" : ""}`, step: probabilityStep(p) };
      },
      script(place) {
        const block = [...kinds.keys()].indexOf(scriptKind(values.likeliest(place)[0].script)[0]);
        return { ...looks.prediction(place), step: blockStep(block, kinds.size) };
      },
      entropy: (place) => ({ text: fixed(values.entropy(place), 2), step: part(values.entropy(place) / most) }),
      rank(place) {
        const rank = values.rank(place);
        return { text: rank ? String(rank) : "–", step: rank ? part(1 - Math.log(rank) / most) : 0 };
      },
      moved(place) {
        const [{ shown }] = values.likeliest(place);
        const reached = /** @type {any} */ (picture).difference.reached[place.row] && values.moved(place) > 0;
        const said = values.said(place);
        return { text: reached ? (said === shown ? "=" : shown) : "", mark: reached && said !== shown ? `was ${said}` : "", step: reached ? part(values.moved(place) / values.farthest) : -1 };
      },
      norm: (place) => ({ text: fixed(values.length(place), 1), step: part(values.length(place) / values.longest) }),
      added: (place) => (values.summed ? { text: signed(values.share(place), 2), step: signedStep(values.share(place), values.largestShare) } : { text: "–", step: 0 }),
    };
    const said = ["prediction", "script", "entropy", "rank", "moved"].includes(mode);
    grid.paint((place) => {
      if (said && !values.known(place.token)) return { text: "", mark: "", colour: colour(-1), says: sentence(place) };
      const { text, mark = "", step } = looks[mode](place);
      return { text, mark, colour: colour(step), says: sentence(place) };
    });
    const unit = values.largestShare;
    /** @type {Record<string, [string, [number, string][]]>} */
    const scales = {
      prediction: ["probability", TICKS],
      script: ["script", [...kinds.keys()].map((name, i) => [(i + 0.5) / kinds.size, name])],
      entropy: ["entropy, nats", ticks("0 sure", fixed(most / 2, 1), `${fixed(most, 1)} no idea`)],
      rank: ["rank, log scale", ticks(picture.vocab, Math.round(Math.sqrt(picture.vocab)), "1 likeliest")],
      moved: ["KL, nats", ticks(0, fixed(values.farthest / 2, 2), fixed(values.farthest, 2))],
      norm: ["length", ticks(0, fixed(values.longest / 2, 0), fixed(values.longest, 0))],
      added: sums ? ["share added", ticks(fixed(-unit, 2), 0, `+${fixed(unit, 2)}`)] : ["no shares", []],
    };
    scale.show(colours, ...scales[mode]);
    set(grid.element, { "data-colours": kinds.size ? "script" : sums ? "signed" : "probability", "data-limit": sums ? unit : 1 });
    const tied = picture.tied ? "The first row mostly names the very token just read: BLOOM scores the next token with the table it looked the last one up in. " : "";
    const taught = "Only the last row is what the model says; nothing taught it to make sense in the rows before. ";
    /** @type {Record<string, string>} */
    const notes = {
      moved: `${differs() ? farthest() : ""} How far what it would say has moved: KL from as it is to what if, in nats. A word: it would say this now; =: the same as before; empty and grey: not reached.`,
      prediction: `${tied}${taught}✓ marks the token that does follow; two letters name the script (La: Latin, Ar: Arabic, …).`,
      script: `${tied}${taught}The colour is the script of the word's first letter; the two letters name it without a colour.`,
      entropy: `${tied}${taught}`,
      rank: `${taught}Nothing follows the last token, so it has no rank.`,
      norm: "The vector's length after each addition. The first token's is often the largest.",
      added: picture.refusal || "What each step added, as a share of the last state: its projection on that state over the state's length. Negative: it points the other way.",
    };
    explains.textContent = notes[mode];
  }

  /** Of a difference: where, of the tokens shown, what it would say has moved most. */
  function farthest() {
    if (numbers.farthest === 0) return "Nothing has moved.";
    let most = { row: 0, token: numbers.first };
    for (let row = 0; row < numbers.states; row++) {
      for (let token = numbers.first; token < numbers.first + numbers.count; token++) if (numbers.moved({ row, token }) > numbers.moved(most)) most = { row, token };
    }
    const now = numbers.likeliest(most)[0].shown;
    return `It has moved most, by ${fixed(numbers.farthest)} nats, at ${stateName(picture.states[most.row])}, token ${most.token} ${isolated(names[most.token])}: ${isolated(numbers.said(most))} → ${isolated(now)}.`;
  }

  /** The scripts that the cells are written in, by name, with the name of their colour; no letter comes last. */
  function kindsOfScript() {
    const places = Array.from({ length: numbers.states * numbers.count }, (_, i) => ({ row: Math.floor(i / numbers.count), token: numbers.first + (i % numbers.count) }));
    const scripts = places.filter(({ token }) => numbers.known(token)).map((place) => scriptKind(numbers.likeliest(place)[0].script));
    return new Map(scripts.sort((one, other) => (one[1] < other[1] ? -1 : Number(one[1] > other[1]))));
  }

  /** What a cell says, for a reader and for a screen reader. @param {import("../lib/states.js").Place} place */
  function sentence(place) {
    const where = `${stateName(picture.states[place.row])}, token ${place.token} ${isolated(names[place.token])}`;
    if (!numbers.has(place.token)) return `${where}: its numbers are not here`;
    if (!numbers.known(place.token)) return `${where}: what it would say is on its way`;
    const [{ shown, p }] = numbers.likeliest(place);
    if (differs()) {
      if (!(numbers.moved(place) > 0)) return `${where}: not reached`;
      const said = numbers.said(place);
      const says = said === shown ? `still says ${isolated(shown)}` : `says ${isolated(shown)}, not ${isolated(said)}`;
      return `${where}: ${says}, probability ${probability(p)}; moved by ${fixed(numbers.moved(place), 3)} nats`;
    }
    const rank = numbers.rank(place);
    const next = rank ? `; ${isolated(names[place.token + 1])}, which does follow, has rank ${rank}` : "";
    return `${where}: it would say ${isolated(shown)} with probability ${probability(p)}${next}`;
  }

  function draw() {
    if (!numbers) readNumbers();
    const values = numbers;
    const { row, token, mode } = chosen();
    paintGrid();
    const shown = pointed ?? { row, token };
    stage.mark({ query: token, key: token }, pointedToken, null);
    const lit = pointed ?? (pointedToken === null ? null : { row, token: pointedToken }); // of a token alone, the chosen state
    cell.show(values, picture, names, shown);
    parts.show(values, picture, names, shown);
    const turn = `${values.first} ${token}`;
    if (turned !== turn && values.has(token)) {
      turned = turn;
      turns.show(picture.states, token, names[token], divergingColours(stage.body), (one, other) => values.cosine(token, one, other));
    }
    turns.mark(row);
    const size = 2 * names.length;
    map.mark(picture.states[row], row, points.subarray(row * size, (row + 1) * size), picture.explained[row], token, lit && lit.token);
    stage.say(sentence(shown));
    steps.mark({ layer: picture.layers, head: picture.heads });
    const part = stage.get("part");
    menu.show(picture, names, { layer: stage.get("layer"), head: stage.get("head"), query: token, key: token, part });
    effects.show();
    reading.show(values.unread);
    stage.showCode({ code: [.../** @type {any} */ (picture).code, "more"] }, { row, query: token, more: stage.get("effects").code });
    modes.mark(mode);
    modes.enable(!differs());
    set(stage.root, { "data-row": row, "data-mode": mode });
    grid.mark({ row, token }, lit); // last, for it asks where the cell lies, and then the page is laid out
  }

  // one message, many traits: they are all there when the first is told, and one drawing is enough
  stage.listen("change:window change:words change:ids change:cosines change:points change:moved", () => {
    numbers = null;
    stage.drawOnce();
  });
  stage.listen("change:part change:mode change:reading change:filling change:effects change:mapping change:map_what change:map_mode change:map_other change:map_instead change:map_answer change:map_rival change:map_over", stage.drawOnce);

  return {
    draw,

    show(another) {
      picture = another;
      names = tokenNames(/** @type {any} */ (picture));
      pointed = pointedToken = null;
      points = floats(stage.get("points"));
      map.show(names, picture.states.length);
      numbers = null; // the rest of the message is looked at first
    },

    fit() {
      effects.fit();
      painted = turned = "";
    },

    point(token) {
      if (token === pointedToken) return;
      pointedToken = token;
      stage.drawSoon();
    },
  };
}

export default {
  render: (/** @type {{model: any, el: HTMLElement}} */ view) => viewFrame({ ...view, name: "hidden", makePanel: hiddenPanel }),
};
