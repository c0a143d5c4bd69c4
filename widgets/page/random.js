// @ts-check
// Python's `random.Random(seed)`, so that a page draws what Python draws: the Mersenne Twister, begun with a text
// and its SHA-512 (FIPS 180-4), as Python begins it.
import { Twister } from "../model/twister.js";

/** The digest of some bytes: 64 bytes. @param {Uint8Array} data */
export function sha512(data) {
  const { rounds, first } = constants();
  const blocks = Math.ceil((data.length + 17) / 128);
  const padded = new Uint8Array(blocks * 128);
  padded.set(data);
  padded[data.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, data.length * 8);
  const cut = (/** @type {bigint} */ number) => BigInt.asUintN(64, number);
  const turn = (/** @type {bigint} */ number, /** @type {bigint} */ by) => cut((number >> by) | (number << (64n - by)));
  const state = first.slice();
  for (let block = 0; block < blocks; block++) {
    const words = Array.from({ length: 16 }, (_, i) => view.getBigUint64(block * 128 + i * 8));
    for (let i = 16; i < 80; i++) {
      const [early, late] = [words[i - 15], words[i - 2]];
      words.push(cut(words[i - 16] + (turn(early, 1n) ^ turn(early, 8n) ^ (early >> 7n)) + words[i - 7] + (turn(late, 19n) ^ turn(late, 61n) ^ (late >> 6n))));
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 80; i++) {
      const one = cut(h + (turn(e, 14n) ^ turn(e, 18n) ^ turn(e, 41n)) + ((e & f) ^ (cut(~e) & g)) + rounds[i] + words[i]);
      const two = cut((turn(a, 28n) ^ turn(a, 34n) ^ turn(a, 39n)) + ((a & b) ^ (a & c) ^ (b & c)));
      [h, g, f, e, d, c, b, a] = [g, f, e, cut(d + one), c, b, a, cut(one + two)];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] = cut(state[i] + word)));
  }
  const digest = new Uint8Array(64);
  state.forEach((word, i) => new DataView(digest.buffer).setBigUint64(i * 8, word));
  return digest;
}

let kept = /** @type {{rounds: bigint[], first: bigint[]} | null} */ (null);

/** The first 64 bits after the point of the cube roots, and square roots, of the first primes. */
function constants() {
  if (kept) return kept;
  const primes = /** @type {bigint[]} */ ([]);
  for (let number = 2n; primes.length < 80; number++) if (primes.every((prime) => number % prime)) primes.push(number);
  const part = (/** @type {bigint} */ prime, /** @type {bigint} */ power) => {
    let [low, high] = [0n, prime << 64n]; // the root of prime · 2^(64·power)
    while (high - low > 1n) {
      const middle = (low + high) >> 1n;
      if (middle ** power <= prime << (64n * power)) low = middle;
      else high = middle;
    }
    return BigInt.asUintN(64, low);
  };
  kept = { rounds: primes.map((prime) => part(prime, 3n)), first: primes.slice(0, 8).map((prime) => part(prime, 2n)) };
  return kept;
}

/** Python's `random.Random`, begun with a text. */
export class Random {
  /** @param {string | number} seed a text, or a whole number of 32 bits */
  constructor(seed) {
    this.twister = new Twister(19650218);
    if (typeof seed === "number") {
      this.#mix([seed]);
      return;
    }
    const text = new TextEncoder().encode(seed);
    const digest = sha512(text);
    const bytes = Uint8Array.from([...text, ...digest]).reverse(); // one large number, its lowest byte first
    const key = Array.from({ length: Math.ceil(bytes.length / 4) }, (_, i) => [3, 2, 1, 0].reduce((word, byte) => word * 256 + (bytes[4 * i + byte] ?? 0), 0));
    while (key.length > 1 && key.at(-1) === 0) key.pop();
    this.#mix(key);
  }

  /** @param {number[]} key */
  #mix(key) {
    const { state } = this.twister;
    let [i, j] = [1, 0];
    const step = () => {
      if (++i >= state.length) {
        state[0] = state[state.length - 1];
        i = 1;
      }
    };
    for (let count = Math.max(state.length, key.length); count; count--) {
      state[i] = (state[i] ^ Math.imul(state[i - 1] ^ (state[i - 1] >>> 30), 1664525)) + key[j] + j;
      j = (j + 1) % key.length;
      step();
    }
    for (let count = state.length - 1; count; count--) {
      state[i] = (state[i] ^ Math.imul(state[i - 1] ^ (state[i - 1] >>> 30), 1566083941)) - i;
      step();
    }
    state[0] = 0x80000000;
  }

  /** A whole number below `end`. @param {number} end */
  below(end) {
    const bits = 32 - Math.clz32(end);
    let number = this.twister.word() >>> (32 - bits);
    while (number >= end) number = this.twister.word() >>> (32 - bits);
    return number;
  }

  /** So many of some, none twice, in the order in which they were drawn. @template T @param {T[]} some @param {number} count @returns {T[]} */
  sample(some, count) {
    const size = 21 + (count > 5 ? 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 0);
    if (some.length <= size) {
      const pool = some.slice();
      return Array.from({ length: count }, (_, i) => {
        const at = this.below(some.length - i);
        const found = pool[at];
        pool[at] = pool[some.length - i - 1];
        return found;
      });
    }
    const taken = /** @type {Set<number>} */ (new Set());
    while (taken.size < count) taken.add(this.below(some.length));
    return [...taken].map((at) => some[at]);
  }

  /** One of some. @template T @param {T[]} some @returns {T} */
  choice(some) {
    return some[this.below(some.length)];
  }
}
