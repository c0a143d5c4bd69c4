// @ts-check
// The two colour scales. Probabilities: cividis, made to look alike to people with and without colour blindness
// (Nuñez, Anderton, Renslow 2018), over the square root of p, so that small shares can be told apart.
// Signed numbers: from the theme's negative pole over zero to its positive one, in equal steps.
import { themeColour } from "./dom.js";

const CIVIDIS =
  "00224e00234f00245100255300255400265600275800285900285b00295d002a5f002a61002b62002c64002c66002d68" +
  "002e6a002e6c002f6d00306f0030700031700031710132710533710833700c34700f357012357014367016377018376f" +
  "1a386f1c396f1e3a6f203a6f213b6e233c6e243c6e263d6e273e6e293f6e2a3f6d2b406d2d416d2e416d2f426d31436d" +
  "32436d33446d34456c35456c36466c38476c39486c3a486c3b496c3c4a6c3d4a6c3e4b6c3f4c6c404c6c414d6c424e6c" +
  "434e6c444f6c45506c46516c47516c48526c49536c4a536c4b546c4c556c4d556c4e566c4f576c50576c51586d52596d" +
  "535a6d545a6d555b6d555c6d565c6d575d6d585e6d595e6e5a5f6e5b606e5c616e5d616e5e626e5e636f5f636f60646f" +
  "61656f62656f636670646770656870656870666970676a71686a71696b716a6c716b6d726c6d726c6e726d6f726e6f73" +
  "6f70737071737172747272747273747374757474757575757676767777767777777878777979777a7a787b7a787c7b78" +
  "7d7c787e7c787e7d787f7e78807f78817f788280798381798482798582798683798784788885788985788a86788b8778" +
  "8c88788d88788e89788f8a78908b78918b78928c78928d78938e78948e77958f779690779791779892779992779a9376" +
  "9b94769c95769d95769e96769f9775a09875a19975a29975a39a74a49b74a59c74a69c74a79d73a89e73a99f73aaa073" +
  "aba072aca172ada272aea371afa471b0a571b1a570b3a670b4a76fb5a86fb6a96fb7a96eb8aa6eb9ab6dbaac6dbbad6d" +
  "bcae6cbdae6cbeaf6bbfb06bc0b16ac1b26ac2b369c3b369c4b468c5b568c6b667c7b767c8b866c9b965cbb965ccba64" +
  "cdbb63cebc63cfbd62d0be62d1bf61d2c060d3c05fd4c15fd5c25ed6c35dd7c45cd9c55cdac65bdbc75adcc859ddc858" +
  "dec958dfca57e0cb56e1cc55e2cd54e4ce53e5cf52e6d051e7d150e8d24fe9d34eead34cebd44bedd54aeed649efd748" +
  "f0d846f1d945f2da44f3db42f5dc41f6dd3ff7de3ef8df3cf9e03afbe138fce236fde334fee434fee535fee636fee838";

/** 256 colours, three bytes each. */
export const PROBABILITY_COLOURS = Uint8Array.from({ length: 768 }, (_, i) => parseInt(CIVIDIS.slice(2 * i, 2 * i + 2), 16));

/**
 * The colour step, 0 to 255, of a probability.
 * @param {number} p
 */
export function probabilityStep(p) {
  return Math.round(255 * Math.sqrt(Math.min(1, Math.max(0, p))));
}

/**
 * 256 colours from `negative` over `zero` (steps 127 and 128) to `positive`.
 * @param {number[]} negative red, green, blue, each 0 to 255
 * @param {number[]} zero
 * @param {number[]} positive
 */
export function signedColours(negative, zero, positive) {
  return Uint8Array.from({ length: 768 }, (_, i) => {
    const side = Math.abs(Math.floor(i / 3) - 127.5) / 127.5;
    const pole = i < 384 ? negative : positive;
    return Math.round(zero[i % 3] + side * (pole[i % 3] - zero[i % 3]));
  });
}

/**
 * The signed colours of the theme that holds inside an element.
 * @param {Element} inside
 */
export function divergingColours(inside) {
  const [negative, zero, positive] = ["--bl-negative", "--bl-zero", "--bl-positive"].map((name) => themeColour(inside, name));
  return signedColours(negative, zero, positive);
}

/**
 * 256 colours in blocks of the same width, one for each of these names of the theme.
 * @param {Element} inside
 * @param {string[]} names
 */
export function blockColours(inside, names) {
  const colours = names.map((name) => themeColour(inside, name));
  return Uint8Array.from({ length: 768 }, (_, i) => colours[Math.floor((Math.floor(i / 3) * names.length) / 256)][i % 3]);
}

/**
 * The colour step, 0 to 255, in the middle of a block.
 * @param {number} block
 * @param {number} blocks
 */
export function blockStep(block, blocks) {
  return Math.floor((256 * (block + 0.5)) / blocks);
}

/**
 * The colour step, 0 to 255, of a signed number on a scale from −limit to +limit.
 * @param {number} value
 * @param {number} limit
 */
export function signedStep(value, limit) {
  const part = limit > 0 ? Math.min(1, Math.max(-1, value / limit)) : 0;
  return Math.round(127.5 + 127.5 * part);
}

/**
 * Paint the causal half of a square, one pixel a cell; above the diagonal it stays clear.
 * @param {HTMLCanvasElement} canvas
 * @param {number} side
 * @param {Uint8Array} colours 256 of them
 * @param {(cell: number, query: number, key: number) => number} stepOf
 */
export function paintCausal(canvas, side, colours, stepOf) {
  canvas.width = canvas.height = side;
  const brush = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = brush.createImageData(side, side);
  for (let query = 0, cell = 0; query < side; query++) {
    for (let key = 0; key <= query; key++, cell++) {
      const step = 3 * stepOf(cell, query, key);
      const pixel = 4 * (query * side + key);
      image.data[pixel] = colours[step];
      image.data[pixel + 1] = colours[step + 1];
      image.data[pixel + 2] = colours[step + 2];
      image.data[pixel + 3] = 255;
    }
  }
  brush.putImageData(image, 0, 0);
}

const BAR_ROWS = 24; // pixels of the height of small bars

/**
 * Paints a row of shares, or of changes, as small bars from below: `room` places, a pixel wide each.
 * @param {Element} inside whose theme has the colours
 * @returns {(canvas: any, values: number[], room: number) => void}
 */
export function barPainter(inside) {
  const [more, less] = ["--bl-accent", "--bl-negative"].map((name) => themeColour(inside, name));
  return (canvas, values, room) => {
    [canvas.width, canvas.height] = [room, BAR_ROWS];
    const brush = canvas.getContext("2d");
    const image = brush.createImageData(room, BAR_ROWS);
    values.forEach((value, place) => {
      const high = Math.round(BAR_ROWS * Math.min(1, Math.abs(value)));
      for (let row = BAR_ROWS - high; row < BAR_ROWS; row++) image.data.set([...(value < 0 ? less : more), 255], 4 * (row * room + place));
    });
    brush.putImageData(image, 0, 0);
  };
}
