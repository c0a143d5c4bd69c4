// @ts-check
// The Mersenne Twister (Matsumoto and Nishimura, 1998), which both Python's `random` and torch draw from.

const SIZE = 624;
const MIDDLE = 397;

export class Twister {
  /** @param {number} word the seed, 32 bits: as torch.Generator().manual_seed begins it */
  constructor(word) {
    this.state = new Uint32Array(SIZE);
    this.next = SIZE;
    this.begin(word);
  }

  /** @param {number} word */
  begin(word) {
    const { state } = this;
    state[0] = word;
    for (let i = 1; i < SIZE; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    this.next = SIZE;
  }

  /** 32 random bits. */
  word() {
    const { state } = this;
    if (this.next >= SIZE) {
      for (let i = 0; i < SIZE; i++) {
        const both = (state[i] & 0x80000000) | (state[(i + 1) % SIZE] & 0x7fffffff);
        state[i] = state[(i + MIDDLE) % SIZE] ^ (both >>> 1) ^ (both & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }
    let word = state[this.next++];
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  /** A number from 0 to 1, of 53 bits, as torch takes it: the lowest of two words. */
  share() {
    const high = this.word() & 0x1fffff;
    return (high * 4294967296 + this.word()) / 9007199254740992;
  }

  /**
   * Numbers of a normal distribution, as torch.randn makes at least 16 of them: two for each pair of shares of 24 bits
   * (Box and Muller, 1958), in sixteens.
   * @param {number} count
   */
  normal(count) {
    const share = () => (this.word() & 0xffffff) / 16777216;
    const numbers = Float32Array.from({ length: count }, share);
    const turn = (/** @type {number} */ first) => {
      for (let i = first; i < first + 8; i++) {
        const radius = Math.sqrt(-2 * Math.log(1 - numbers[i]));
        const angle = 2 * Math.PI * numbers[i + 8];
        [numbers[i], numbers[i + 8]] = [radius * Math.cos(angle), radius * Math.sin(angle)];
      }
    };
    for (let first = 0; first + 16 <= count; first += 16) turn(first);
    if (count % 16) {
      for (let i = count - 16; i < count; i++) numbers[i] = share();
      turn(count - 16);
    }
    return numbers;
  }

  /** The same, as it stands now. */
  copy() {
    const other = new Twister(0);
    other.state.set(this.state);
    other.next = this.next;
    return other;
  }
}
