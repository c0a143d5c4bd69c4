// @ts-check
// Twins that differ in how they know where a token stands: how their lines are told apart, and what these say.
import { fixed } from "../lib/numbers.js";

/** @typedef {{name: string, points: [number, number][]}} Twin its points: a length of texts, and the mean loss there */

/** A line of its own for each; colour is not the only carrier. */
export const TWIN_LINES = [
  { colour: "--bl-accent", dash: /** @type {number[]} */ ([]) },
  { colour: "--bl-kind-7", dash: [12, 4] },
  { colour: "--bl-kind-6", dash: [6, 4] },
  { colour: "--bl-ink", dash: [3, 3] },
  { colour: "--bl-kind-3", dash: [2, 6] },
];

/** @param {string[]} names */
const listed = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`);

/**
 * Which of them read texts of the longest length no worse than those of the trained one, which worse, and whose line ends
 * before: it has no positions there. Of those that are not finished, nothing.
 * @param {{trained?: number, curves?: Twin[]}} found @param {boolean} done
 */
export function twinsSay({ trained = 0, curves = [] }, done) {
  const longest = Math.max(0, ...curves.flatMap(({ points }) => points.map(([length]) => length)));
  if (longest <= trained) return "";
  const lossAt = (/** @type {Twin} */ { points }, /** @type {number} */ at) => points.find(([length]) => length === at)?.[1];
  const whole = curves.flatMap((twin) => {
    const [near, far] = [trained, longest].map((length) => lossAt(twin, length));
    return near === undefined || far === undefined ? [] : [{ name: twin.name, near, far }];
  });
  const told = (/** @type {typeof whole} */ twins) => listed(twins.map(({ name, near, far }) => `${name} (${fixed(near, 2)} → ${fixed(far, 2)})`));
  const [better, worse] = [whole.filter(({ near, far }) => far <= near), whole.filter(({ near, far }) => far > near)];
  const ended = curves.filter((twin, i) => (done || i < curves.length - 1) && lossAt(twin, longest) === undefined);
  const parts = [
    ...(better.length ? [`no harder for ${told(better)}`] : []),
    ...(worse.length ? [`harder for ${told(worse)}`] : []),
  ];
  return [
    parts.length ? ` Texts of ${longest} tokens, ${fixed(longest / trained, 0)}× the trained length, are ${parts.join("; ")}.` : "",
    ...ended.map(({ name, points }) => ` ${name} ends at ${points.length ? points[points.length - 1][0] : 0}: it has no positions beyond.`),
  ].join("");
}
