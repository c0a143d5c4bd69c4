// @ts-check
// From scores to a draw, as bloomlab/generation/sampling.py: functions on the scores of one row, (vocab), in their order:
//
//   repetition penalty  ->  temperature  ->  top-k  ->  top-p  ->  draw
//
// A token at -Infinity cannot be drawn. Numbers are kept in single precision, as torch keeps them.

/** Tokens that stand in the text already become less likely. @param {Float32Array} scores @param {number[]} ids @param {number} penalty */
export function penaliseRepetition(scores, ids, penalty) {
  const changed = scores.slice();
  for (const id of new Set(ids)) changed[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty;
  return changed;
}

/** Below 1 the likely become likelier. @param {Float32Array} scores @param {number} temperature */
export function scaleTemperature(scores, temperature) {
  return scores.map((score) => score / temperature);
}

/** Keep the k likeliest, and those that tie with the last of them. @param {Float32Array} scores @param {number} k @param {number} [atLeast] so many stay */
export function keepTopK(scores, k, atLeast = 1) {
  const least = scores.slice().sort()[Math.max(0, scores.length - Math.max(k, atLeast))];
  return scores.map((score) => (score < least ? -Infinity : score));
}

/** Keep the smallest set of likeliest tokens whose probabilities reach p. @param {Float32Array} scores @param {number} p @param {number} [atLeast] so many stay */
export function keepTopP(scores, p, atLeast = 1) {
  const order = Array.from(scores.keys()).sort((one, other) => scores[one] - scores[other]);
  const probs = softmax(scores);
  const kept = scores.slice();
  let reached = 0;
  for (const id of order.slice(0, -atLeast)) {
    reached += probs[id];
    if (Math.fround(reached) > Math.fround(1 - p)) break;
    kept[id] = -Infinity;
  }
  return kept;
}

/** @param {ArrayLike<number>} scores */
export function softmax(scores) {
  let most = -Infinity;
  for (let i = 0; i < scores.length; i++) most = Math.max(most, scores[i]);
  const probs = Float64Array.from(scores, (score) => Math.exp(score - most));
  const sum = probs.reduce((total, p) => total + p, 0);
  return probs.map((p) => p / sum);
}

/** The numbers that a token is drawn by, exponential with mean 1, one for each: the largest probability / number wins. @param {number} vocab @param {import("./twister.js").Twister} twister */
export function race(vocab, twister) {
  const numbers = new Float32Array(vocab);
  for (let id = 0; id < vocab; id++) numbers[id] = -Math.log1p(-twister.share());
  return numbers;
}

/** The token that wins. @param {Float32Array} scores @param {Float32Array} numbers */
export function draw(scores, numbers) {
  const probs = softmax(scores);
  let [best, most] = [0, -1];
  for (let id = 0; id < numbers.length; id++) {
    const speed = Math.fround(Math.fround(probs[id]) / numbers[id]);
    if (speed > most) [best, most] = [id, speed];
  }
  return best;
}

/** So many places that are drawn, none twice, the first one first: as torch.multinomial draws them. @param {Float32Array} scores @param {number} count @param {import("./twister.js").Twister} twister */
export function drawSome(scores, count, twister) {
  const numbers = race(scores.length, twister);
  const speeds = softmax(scores).map((p, place) => Math.fround(Math.fround(p) / numbers[place]));
  return Array.from(speeds.keys()).sort((one, other) => speeds[other] - speeds[one]).slice(0, count);
}
