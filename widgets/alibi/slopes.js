// @ts-check
// The slopes as places on a log axis, and how the slope desk asks for others: pure functions.
//
// A head's slope is changed by a factor in every layer, {spot: "attn.alibi", kind: "scale"}: one for all heads, and one of
// each head's own beside it.

/**
 * @typedef {{all: number, heads: number[]}} Desk what all slopes, and each head's own, are multiplied by
 * @typedef {import("../lib/change.js").PageEdit} PageEdit
 */

const SPOT = "attn.alibi";
const [HIGHEST, LOWEST] = [2, -10]; // powers of two at the ends of the axis
const [TOP, BOTTOM, ZERO] = [0.02, 0.9, 0.965]; // of the room: below the log axis stands 0, which has no logarithm
const STEP = 4; // so many key presses double a slope
export const LARGEST = 100; // a slope that is typed

/**
 * Where a slope stands, from 0 at the top to 1; what is beyond the axis stands at its end.
 * @param {number} slope
 */
export function slopeHeight(slope) {
  if (slope <= 0) return ZERO;
  const part = (HIGHEST - Math.log2(slope)) / (HIGHEST - LOWEST);
  return TOP + (BOTTOM - TOP) * Math.min(1, Math.max(0, part));
}

/**
 * The slope at a height: the other way round.
 * @param {number} height
 */
export function slopeAt(height) {
  if (height > (BOTTOM + ZERO) / 2) return 0;
  const part = Math.min(1, Math.max(0, (height - TOP) / (BOTTOM - TOP)));
  return 2 ** (HIGHEST - part * (HIGHEST - LOWEST));
}

/** What stands at the axis. @returns {{slope: number, power: number | null}[]} */
export function axisSlopes() {
  const powers = Array.from({ length: HIGHEST - LOWEST - 1 }, (_, i) => HIGHEST - 1 - i);
  return [...powers.map((power) => ({ slope: 2 ** power, power })), { slope: 0, power: null }];
}

/**
 * One key press further, in steps of the fourth root of two from the trained slope; below the axis stands 0.
 * @param {number} slope @param {number} trained @param {number} by 1 or −1
 */
export function stepped(slope, trained, by) {
  if (slope <= 0) return by > 0 ? 2 ** LOWEST : 0;
  const next = trained * 2 ** ((Math.round(STEP * Math.log2(slope / trained)) + by) / STEP);
  if (next < 2 ** LOWEST * 0.999) return 0;
  return Math.min(next, 2 ** HIGHEST);
}

/**
 * A slope as a person types it: 0.25, 1/4, or a factor of the trained one, ×2 or x 0.5; null if it is none.
 * @param {string} text @param {number} trained
 */
export function readSlope(text, trained) {
  const found = /^\s*([×x*]?)\s*(\d*[.,]?\d+(?:e-?\d+)?)\s*(?:[/⁄]\s*(\d*[.,]?\d+))?\s*$/i.exec(text);
  if (!found) return null;
  const [over, under] = [found[2], found[3] ?? "1"].map((digits) => Number(digits.replace(",", ".")));
  const slope = (over / under) * (found[1] ? trained : 1);
  return Number.isFinite(slope) && slope <= LARGEST ? slope : null;
}

/** @param {number | null} head null: all of them @param {number} factor @returns {PageEdit} */
function times(head, factor) {
  return { spot: SPOT, kind: "scale", axes: head === null ? {} : { head: [head] }, number: Number(factor.toPrecision(6)) };
}

/**
 * The edits that give one head this slope, and leave the others as they are.
 * @param {Desk} desk @param {number[]} trained @param {number[]} used @param {number} head @param {number} slope
 */
export function headEdits({ all, heads }, trained, used, head, slope) {
  if (all === 0) return [times(null, 1), ...heads.map((_, i) => times(i, i === head ? slope / trained[i] : 0))]; // the others stay flat
  const made = trained[head] * all * heads[head];
  const rest = made > 0 && used[head] > 0 ? used[head] / made : 1; // what other edits make of it
  return [times(head, slope / (trained[head] * all * rest))];
}

/** @param {Desk} desk @param {number} factor */
export function allEdits({ all }, factor) {
  return [times(null, all * factor)];
}

/** The edits that make every slope the trained one. @param {Desk} desk */
export function trainedEdits({ all, heads }) {
  return [...(all === 1 ? [] : [times(null, 1)]), ...heads.flatMap((own, head) => (own === 1 ? [] : [times(head, 1)]))];
}
