// @ts-check
// Numbers in sentences, as the views of Python write them.

const HARDLY = 0.0005; // a smaller change would be written as 0.000

const minus = (/** @type {string} */ text) => text.replace("-", "−");

/** A number as a sentence says it, with a true minus. @param {number} value */
export const numberInWords = (value) => minus(value.toFixed(3));

/** Two digits. @param {number} value */
export const short = (value) => minus(value.toFixed(2));

/** A change of a number: with its sign; 0 only where there is none. @param {number} change @param {number} [digits] */
export function changeCell(change, digits = 3) {
  if (Number.isNaN(change)) return "–";
  if (Math.abs(change) < HARDLY) return change ? "≈ 0" : "0";
  return minus(`${change < 0 ? "" : "+"}${change.toFixed(digits)}`);
}

/** How large an error is: one digit and a power, as Python's .0e. @param {number} error */
export const errorInWords = (error) => error.toExponential(0).replace(/e([+-])(\d)$/, "e$10$2");

/** Places by the size of what is there, the largest first. @param {ArrayLike<number>} values */
export function bySize(values) {
  return Array.from(values, (_, i) => i).sort((one, other) => values[other] - values[one]);
}

/** Mean, standard deviation, and in which share the sign is another than that of the mean. @param {ArrayLike<number>} values @returns {[number, number, number]} */
export function spreadOf(values) {
  const all = Array.from(values);
  const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
  const variance = all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / all.length;
  return [mean, Math.sqrt(variance), all.filter((value) => Math.sign(value) !== Math.sign(mean)).length / all.length];
}

/** Mean ± standard deviation, in words. @param {ArrayLike<number>} values */
export function spreadInWords(values) {
  const [mean, deviation] = spreadOf(values);
  return `${changeCell(mean, 2)} ± ${deviation.toFixed(2)}`;
}

/** The place of the largest value, the first of those. @param {ArrayLike<number>} values */
export function largestOf(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
