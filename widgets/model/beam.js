// @ts-check
// Beam search, as bloomlab/generation/beam.py: follow several continuations at once and keep those that are likeliest as a
// whole. Each step extends all that are alive by every token and keeps the best; one that reaches a stop token is finished.
//
//   score = log-probability of all new tokens / how many
//
// The search ends when none that is alive could still beat the finished ones.

/**
 * @typedef {{node: number, score: number}} Beam one that is alive: the node of a tree that it ends in, and its log-probability
 * @typedef {{parent: number, id: number, score: number}} Candidate a beam with one token more
 */

/** The best of some, the first one first where two are equal. @template T @param {T[]} some @param {number} count @param {(one: T) => number} score */
const best = (some, count, score) => some.map((one, place) => ({ one, place })).sort((a, b) => score(b.one) - score(a.one) || a.place - b.place).slice(0, count).map(({ one }) => one);

/**
 * Search on from a node of a tree: the nodes of all that were finished, the best first.
 * @param {number} start @param {{beams: number, most: number, ends: number[], scores: (node: number) => Float32Array, grow: (node: number, id: number) => number,
 *   choose: (totals: Float32Array, count: number) => number[]}} how `most`: new tokens; `ends`: the tokens that end a text; `scores`: the log-probability
 *   of each token after a node, adjusted; `grow`: the node with a token more; `choose`: so many places of all the totals
 */
export function beamSearch(start, { beams, most, ends, scores, grow, choose }) {
  const perBeam = Math.max(2, 1 + ends.length); // among so many for each, at least as many as there are beams do not end
  let live = /** @type {Beam[]} */ ([{ node: start, score: 0 }]); // all begin alike, so there is one to be extended
  let finished = /** @type {Candidate[]} */ ([]); // the score is that of a token
  for (let count = 1; count <= most; count++) {
    const rows = live.map(({ node }) => scores(node));
    const vocab = rows[0].length;
    const totals = new Float32Array(beams * vocab).fill(-1e9); // as Python has them of beams that are not there yet
    rows.forEach((row, at) => row.forEach((score, id) => (totals[at * vocab + id] = live[at].score + score)));
    const candidates = choose(totals, Math.min(perBeam * beams, totals.length)).map((place) => ({ parent: live[Math.floor(place / vocab)]?.node ?? start, id: place % vocab, score: totals[place] }));
    const over = (/** @type {Candidate} */ { id }) => count === most || ends.includes(id);
    for (const one of candidates.slice(0, beams)) { // what ranks lower can only go on
      if (over(one)) finished = best([...finished, { ...one, score: one.score / count }], beams, ({ score }) => score);
    }
    live = best(candidates, beams, (one) => (over(one) ? -Infinity : one.score)).map(({ parent, id, score }) => ({ node: grow(parent, id), score }));
    if (finished.length === beams && live[0].score / count <= finished[beams - 1].score) break;
  }
  return finished.map(({ parent, id }) => grow(parent, id));
}
