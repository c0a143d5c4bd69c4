// @ts-check
// ALiBi in numbers: the same formulas as bloomlab.lens.alibi and bloomlab.lens.attention, for what the pointer asks.

export const REACH_NATS = 3; // e⁻³: a twentieth of the weight is left

/**
 * What a head adds to the score of a key so many tokens back, in nats.
 * @param {number} slope
 * @param {number} distance
 */
export function biasAt(slope, distance) {
  return -slope * distance || 0;
}

/**
 * The share of each key, 0 to `query`, if position were all there is; from either form of the bias.
 * @param {number[]} biases
 */
export function sharesOf(biases) {
  const most = Math.max(...biases);
  const weights = biases.map((bias) => Math.exp(bias - most));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/**
 * One query's row in both forms: as trained, slope × key; as in the paper, −slope × distance.
 * @param {number} slope
 * @param {number} query
 */
export function bothForms(slope, query) {
  const keys = Array.from({ length: query + 1 }, (_, key) => key);
  const trained = keys.map((key) => slope * key);
  const paper = keys.map((key) => biasAt(slope, query - key));
  const [one, other] = [sharesOf(trained), sharesOf(paper)];
  return { trained, paper, shares: other, apart: Math.max(...one.map((share, key) => Math.abs(share - other[key]))) };
}

/**
 * "3 tokens", "1 token".
 * @param {number} count
 */
export function tokensBack(count) {
  return `${count} ${count === 1 ? "token" : "tokens"}`;
}

/**
 * How far a head of this slope may look, in words; a flat one looks everywhere.
 * @param {number} slope
 */
export function reachName(slope) {
  const reach = REACH_NATS / slope;
  return slope > 0 ? tokensBack(Number(reach.toFixed(reach < 10 ? 1 : 0))) : "everywhere";
}
