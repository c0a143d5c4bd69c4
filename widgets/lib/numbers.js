// @ts-check
// How numbers are written: the same digits everywhere, a true minus sign, slopes as fractions.

/**
 * @param {number} value
 * @param {number} [digits]
 */
export function fixed(value, digits = 3) {
  if (!Number.isFinite(value)) return String(value).replace("-", "−");
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

/**
 * With its sign, for things that are added.
 * @param {number} value
 * @param {number} [digits]
 */
export function signed(value, digits = 3) {
  const text = fixed(value, digits);
  return text.startsWith("−") || Number(text) === 0 ? text : `+${text}`;
}

/**
 * A probability: three digits, and more where those would all be 0.
 * @param {number} value
 */
export function probability(value) {
  return value > 0 && value < 0.0005 ? scientific(value) : fixed(value, 3);
}

/**
 * 2.1 × 10⁻⁸, or 0.
 * @param {number} value
 */
export function scientific(value) {
  if (value === 0 || !Number.isFinite(value)) return fixed(value, 0);
  const [digits, power] = value.toExponential(1).split("e");
  const raised = [...String(Number(power))].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"["0123456789".indexOf(digit)] ?? "⁻");
  return `${digits.replace("-", "−")} × 10${raised.join("")}`;
}

/**
 * A slope as people say it: "1⁄16" where it is one, otherwise "0.707".
 * @param {number} slope
 */
export function slopeName(slope) {
  const below = 1 / slope;
  if (slope > 0 && slope <= 0.5 && Math.abs(below - Math.round(below)) < 1e-9) return `1⁄${Math.round(below)}`;
  return slope >= 0.1 ? fixed(slope, 3) : Number(slope.toPrecision(3)).toString();
}

const DIGITS = 10; // in the numbers of heads beside each other, at most, or they run into one another

/**
 * Which heads of a row have their number: every one, or every second, fourth, …
 * @param {number} heads
 */
export function everyHead(heads) {
  return 2 ** Math.max(0, Math.ceil(Math.log2((heads * String(heads - 1).length) / DIGITS)));
}
