// @ts-check
// What can be taken out of a view: its tables as text that spreadsheets read, and its picture as a file.
//
// Where it is copied from, a number is written for people: a true minus, 2.1 × 10⁻⁸, 1⁄16. In the copy it is written
// for programs: -1.000, 2.1e-8, 0.0625; a row is a line, its cells stand between tabs. A word that a spreadsheet would
// take for a formula begins with an apostrophe there.
//
// What tests can rely on:
//   [data-part="take"]                      the menu: a button and what it opens; Escape closes it
//   [data-part="take"] [data-table="N"]     copies the table of this number; its words say which, and how large it is
//   [data-part="take"] [data-file="png | svg | html"]
//   [data-part="take-link"]                 in a page that computes by itself: a link to what it shows
//   [data-part="take-says"]                 what came of it
//   [data-part="take-text"]                 the copy as a text to select, where the host denies the clipboard
import { make, pushButton, set } from "./dom.js";

const KINDS = /** @type {const} */ (["png", "svg", "html"]);
const TYPES = { png: "image/png", svg: "image/svg+xml", html: "text/html" };
const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const NAME_LETTERS = 40;
const NEEDS = "the whole view as html is made by the kernel";

/**
 * A cell as a program reads it.
 * @param {string} text
 */
export function plainCell(text) {
  const words = text.replace(/[\u2066-\u2069]/g, "").replace(/\s+/g, " ").trim();
  const number = words.replace(/^≈ ?/, "").replace("−", "-").replace(/^\+/, "");
  const fraction = /^(-?)(\d+)⁄(\d+)$/.exec(number);
  if (fraction) return `${fraction[1]}${Number(fraction[2]) / Number(fraction[3])}`;
  const power = /^(-?[\d.]+) × 10(⁻?)([⁰¹²³⁴⁵⁶⁷⁸⁹]+)$/.exec(number);
  if (power) return `${power[1]}e${power[2] && "-"}${[...power[3]].map((digit) => RAISED.indexOf(digit)).join("")}`;
  if (/^-?\d{1,3}(,\d{3})+(\.\d+)?$/.test(number)) return number.replaceAll(",", "");
  if (/^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(number)) return number;
  const plain = words.replace(/−(?= ?[\d.])/g, "-");
  return /^[=+\-@]/.test(plain) ? `'${plain}` : plain;
}

/** @param {string[][]} rows */
export function tabbed(rows) {
  return rows.map((row) => row.map(plainCell).join("\t")).join("\n");
}

const CELLS = "th, td, [role=gridcell], [role=rowheader], [role=columnheader]";
/** A cell over several columns is followed by empty ones. @param {Element} row */
function cellsOf(row) {
  return [...row.querySelectorAll(CELLS)].flatMap((/** @type {any} */ cell) => [cell.innerText, ...Array((cell.colSpan ?? 1) - 1).fill("")]);
}

const inSight = (/** @type {Element} */ element) => element.getClientRects().length > 0;
const rowsOf = (/** @type {Element} */ element) => [...element.querySelectorAll("tr, [role=row]")].filter(inSight);

/** What to call a table. @param {Element} table */
function titleOf(table) {
  const own = table.querySelector("caption")?.textContent || table.getAttribute("aria-label");
  const section = table.closest("section[aria-label]");
  return (own || section?.querySelector(".bl-title")?.textContent || section?.getAttribute("aria-label") || "table").trim();
}

/**
 * Ctrl+C on what is selected: the rows of tables as lines, all else with plain minus signs. The code, and what is being
 * typed, stay as they are.
 * @param {ClipboardEvent} event
 * @param {HTMLElement} root
 */
export function copySelected(event, root) {
  const selection = getSelection();
  const from = /** @type {Element} */ (event.target);
  if (!selection || selection.isCollapsed || !event.clipboardData || from.matches?.("textarea, input")) return;
  const start = selection.getRangeAt(0).commonAncestorContainer;
  if ((start instanceof Element ? start : start.parentElement)?.closest(".bl-code")) return;
  const rows = rowsOf(root).filter((row) => selection.containsNode(row, true));
  const whole = rows.length > 1 || (rows.length === 1 && [...rows[0].querySelectorAll(CELLS)].filter((cell) => selection.containsNode(cell, true)).length > 1);
  const text = whole ? tabbed(rows.map(cellsOf)) : selection.toString().replace(/−(?= ?[\d.])/g, "-").replace(/[\u2066-\u2069]/g, "");
  event.clipboardData.setData("text/plain", text);
  event.preventDefault();
}

/**
 * A part of the page as an SVG by itself: its elements with the view's style sheet, each canvas as an image.
 * @param {HTMLElement} part @param {HTMLElement} root of the view
 */
function drawing(part, root) {
  let [width, height] = [part.scrollWidth, part.scrollHeight];
  let copy = /** @type {any} */ (part.cloneNode(true));
  const copies = copy.querySelectorAll("*");
  [...part.querySelectorAll("*")].forEach((one, i) => {
    if (one instanceof HTMLInputElement) set(copies[i], { checked: one.checked, value: one.value });
    const [across, down] = [one.scrollWidth - one.clientWidth, one.scrollHeight - one.clientHeight];
    if ((across <= 0 && down <= 0) || !/auto|scroll/.test(getComputedStyle(one).overflow)) return;
    width = Math.max(width, part.clientWidth + across); // what scrolls is drawn whole
    height += down;
    copies[i].style.overflow = "visible";
    copies[i].style.maxHeight = "none";
  });
  const canvases = part.querySelectorAll("canvas");
  copy.querySelectorAll("canvas").forEach((/** @type {Element} */ one, /** @type {number} */ i) => {
    const image = make("img", { src: canvases[i].toDataURL(), class: one.className, style: one.getAttribute("style") ?? false });
    one.replaceWith(image);
  });
  for (let above = part.parentElement; above; above = above === root ? null : above.parentElement) {
    if (above.matches(".bl-zones, .bl-view, .bl-body")) continue; // which only say where it stands
    const shell = /** @type {HTMLElement} */ (above.cloneNode(false));
    shell.append(copy);
    copy = shell;
  }
  copy.style.colorScheme = getComputedStyle(root).colorScheme;
  const sheets = /** @type {Document | ShadowRoot} */ (root.getRootNode()).styleSheets;
  const readable = [...sheets, ...document.styleSheets].filter(({ href }) => !href); // those of elsewhere may not be read
  const rules = readable.flatMap((sheet) => [...sheet.cssRules].map(({ cssText }) => cssText));
  const style = make("style", {}, [...new Set(rules)].filter((rule) => rule.includes("bl-") || rule.includes("bloomlab")).join("\n"), ".bl-zone { max-height: none !important; margin: 0 !important; }");
  const svgElement = (/** @type {string} */ name, /** @type {Record<string, any>} */ attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
    return element;
  };
  const svg = svgElement("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  const inside = svgElement("foreignObject", { width, height });
  inside.append(style, copy);
  svg.append(inside);
  return { text: new XMLSerializer().serializeToString(svg), width, height };
}

/**
 * @param {{id: string, model: any, get: (trait: string) => any, name: () => string, root: () => HTMLElement,
 *   own: () => {title: string, rows: () => string[][]}[]}} options
 */
export function takeMenu({ id, model, get, name, root, own }) {
  const says = make("p", { class: "bl-how", role: "status", "data-part": "take-says" });
  const text = make("textarea", { class: "bl-donor-text", readonly: true, rows: 3, "aria-label": "the copy", "data-lm-suppress-shortcuts": "true", "data-part": "take-text" });
  text.hidden = true;
  const tables = make("div", { class: "bl-take-tables" });
  const files = KINDS.map((kind) => pushButton(kind, { "data-file": kind }, () => save(kind)));
  const link = pushButton("a link to this", { "data-part": "take-link", title: "the text, the place and the changes, in an address" }, () => copyLink());
  link.hidden = !model.link; // only a page that computes by itself can be opened at a place
  const opens = pushButton("copy, save", { class: "bl-button bl-plain", "aria-controls": id, "aria-expanded": "false" }, () => toggle(list.hidden));
  const list = make("div", { class: "bl-take-list", id, hidden: true }, tables, make("p", { class: "bl-row" }, make("span", { class: "bl-how" }, "save the view as "), ...files, link), says, text);
  const element = make("div", { class: "bl-take", "data-part": "take" }, opens, list);
  let number = 0; // of the file that was asked for last
  let timer = 0;

  /** @param {boolean} open */
  function toggle(open) {
    list.hidden = !open;
    set(opens, { "aria-expanded": String(open) });
    if (!open) return;
    say("");
    text.hidden = true;
    const found = [...own(), ...[...root().querySelectorAll(".bl-body table, .bl-body [role=grid]")].filter(inSight).map((table) => ({ title: titleOf(table), rows: () => rowsOf(table).map(cellsOf) }))];
    tables.replaceChildren(...found.map(({ title, rows }, at) => pushButton(`copy ${title}`, { class: "bl-button bl-take-table", title: "cells between tabs, a row a line, plain numbers", "data-table": at }, () => copy(title, rows()))));
    const here = get("kernel") === "here";
    for (const button of files) {
      button.disabled = !here && (button.dataset.file === "html" || !zone());
      set(button, { title: button.disabled && NEEDS });
    }
    if (!here) say(model.get("live") ? `no kernel answers: png and svg save the picture as it stands here; ${NEEDS}` : "this page is the view as html; png and svg save the picture as it stands here");
  }
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape" || list.hidden) return;
    event.preventDefault();
    event.stopPropagation();
    toggle(false);
    opens.focus();
  });
  const outside = (/** @type {Event} */ event) => {
    if (!list.hidden && !event.composedPath().includes(element)) toggle(false);
  };
  document.addEventListener("pointerdown", outside);

  /** @param {string} sentence */
  function say(sentence) {
    says.textContent = sentence;
  }

  /** @param {string} title @param {string[][]} rows */
  async function copy(title, rows) {
    const copied = tabbed(rows);
    const size = `${rows.length} ${rows.length === 1 ? "row" : "rows"} of ${title}`;
    try {
      await navigator.clipboard.writeText(copied);
      text.hidden = true;
      say(`copied: ${size}`);
    } catch {
      text.value = copied;
      text.hidden = false;
      text.focus();
      text.select();
      say(document.execCommand("copy") ? `copied: ${size}` : `${size}: selected; press Ctrl+C`);
    }
  }

  /** An address that opens this page as it stands. */
  async function copyLink() {
    text.value = model.link();
    text.hidden = !text.value;
    if (!text.value) return say("a change stands here whose texts only Python has, so no link can hold it");
    text.focus();
    text.select();
    try {
      await navigator.clipboard.writeText(text.value);
      say("copied: a link to this text, place and changes");
    } catch {
      say(document.execCommand("copy") ? "copied: a link to this text, place and changes" : "the link: selected; press Ctrl+C");
    }
  }

  /** The picture in sight, for where no kernel draws one. */
  const zone = () => /** @type {HTMLElement | undefined} */ ([...root().querySelectorAll('[data-zone="where"]')].find(inSight));

  /** Saved without a kernel: what the page shows. @param {"png" | "svg" | "html"} kind */
  async function saveHere(kind) {
    const { text, width, height } = drawing(/** @type {HTMLElement} */ (zone()), root());
    if (kind === "svg") {
      hand(kind, new Blob([text], { type: TYPES.svg }));
      return;
    }
    const image = new Image();
    image.src = `data:${TYPES.svg};charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    const large = make("canvas", { width: width * 2, height: height * 2 });
    large.getContext("2d").drawImage(image, 0, 0, large.width, large.height);
    large.toBlob((/** @type {Blob | null} */ blob) => blob && hand(kind, blob));
  }

  /** @param {"png" | "svg" | "html"} kind */
  function save(kind) {
    if (get("kernel") !== "here") {
      saveHere(kind).catch((error) => say(`this browser could not draw the ${kind}: ${error}`));
      return;
    }
    say(`drawing the ${kind} …`);
    set(list, { "data-waits": true });
    model.send({ do: "save", kind, number: (number += 1) });
    clearTimeout(timer);
    timer = window.setTimeout(() => get("kernel") === "here" || say("no kernel answers; nothing was saved"), 3000);
  }

  /** @param {any} content */
  function arrived(content) {
    if (!content?.saved || content.number !== number) return;
    set(list, { "data-waits": false });
    if (content.trouble) {
      say(content.trouble);
      return;
    }
    const bytes = Uint8Array.from(atob(content.data), (letter) => letter.charCodeAt(0));
    hand(content.saved, new Blob([bytes], { type: TYPES[/** @type {"png"} */ (content.saved)] }));
  }
  model.on("msg:custom", arrived);

  /** @param {string} kind @param {Blob} blob */
  function hand(kind, blob) {
    const words = name().match(/[\p{L}\p{N}]+/gu) ?? [];
    const file = `${words.join("-").slice(0, NAME_LETTERS) || "view"}.${kind}`;
    const link = make("a", { href: URL.createObjectURL(blob), download: file });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    say(`saved: ${file}, in the downloads of this browser`);
  }

  return {
    element,
    close() {
      clearTimeout(timer);
      document.removeEventListener("pointerdown", outside);
      model.off("msg:custom", arrived);
    },
  };
}
