// @ts-check
// The products of `linear`, two numbers at a time, which processors can and JavaScript cannot say: a few lines of
// WebAssembly, listed below. Where a page may not have it (an older browser, or a policy without 'wasm-unsafe-eval'),
// `linear` does the same in JavaScript. Both add in double precision, so that hardly a number differs.

/** @typedef {import("./nn.js").Tensor} Tensor */

const ROWS = 64; // of x at a time, so that what is made of them needs little room
const PAGE = 65536; // bytes, what the memory is counted in

/** Bytes of the instructions used here; an operand follows, and is below 64. From the specification of WebAssembly. */
const CODES = /** @type {Record<string, number[]>} */ ({
  loop: [0x03, 0x40],
  end: [0x0b],
  br_if: [0x0d],
  "local.get": [0x20],
  "local.set": [0x21],
  "local.tee": [0x22],
  "i32.const": [0x41],
  "i32.lt_u": [0x49],
  "i32.add": [0x6a],
  "i32.shl": [0x74],
  "f64.add": [0xa0],
  "f32.demote_f64": [0xb6],
  "f32.store": [0x38, 2], // aligned to 4 bytes,
  "v128.load64_zero": [0xfd, 0x5d, 3], // to 8,
  "v128.load": [0xfd, 0, 4], // and to 16
  "i32x4.splat": [0xfd, 0x11],
  "f64x2.promote_low_f32x4": [0xfd, 0x5f],
  "f64x2.extract_lane": [0xfd, 0x21],
  "f64x2.add": [0xfd, 0xf0, 1],
  "f64x2.mul": [0xfd, 0xf2, 1],
});
const I32 = 0x7f;
const V128 = 0x7b;

const GIVEN = ["x", "w", "y", "rows", "width", "span"]; // where in memory, how many, and the bytes of a row of w
const COUNTED = ["row", "column", "w0", "w1", "xAt", "wEnd", "yAt"];
const HELD = ["a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3", "a", "b"]; // two numbers each
const LOCALS = [...GIVEN, ...COUNTED, ...HELD];

/** @param {(row: number) => string} line */
const eachRow = (line) => [0, 1, 2, 3].map(line).join("\n");
/** @param {string} name */
const sumOf = (name) => `local.get ${name} f64x2.extract_lane 0  local.get ${name} f64x2.extract_lane 1  f64.add f32.demote_f64`;

/** y = x · wᵀ for four rows and two columns at a time; x stands there as `pack` leaves it. */
const LISTING = `
  loop  ; four rows of x
    local.get w  local.set w0
    i32.const 0  local.set column
    loop  ; two columns of y: two rows of w, one after the other
      local.get w0  local.get span  i32.add  local.tee w1  local.set wEnd
      local.get x  local.set xAt
      ${HELD.map((name) => `i32.const 0 i32x4.splat local.set ${name}`).join("\n")}
      loop  ; two numbers of each row
        local.get w0  v128.load64_zero 0  f64x2.promote_low_f32x4  local.set a
        local.get w1  v128.load64_zero 0  f64x2.promote_low_f32x4  local.set b
        ${eachRow((row) => `
          local.get xAt  v128.load ${16 * row}  local.get a  f64x2.mul  local.get a${row}  f64x2.add  local.set a${row}
          local.get xAt  v128.load ${16 * row}  local.get b  f64x2.mul  local.get b${row}  f64x2.add  local.set b${row}`)}
        local.get xAt  i32.const 32  i32.add  i32.const 32  i32.add  local.set xAt  ; 64 bytes on
        local.get w1  i32.const 8  i32.add  local.set w1
        local.get w0  i32.const 8  i32.add  local.tee w0  local.get wEnd  i32.lt_u  br_if 0
      end
      local.get w1  local.set w0
      local.get y  local.get column  i32.const 2  i32.shl  i32.add  local.set yAt
      ${eachRow((row) => `
        local.get yAt  ${sumOf(`a${row}`)}  f32.store 0
        local.get yAt  ${sumOf(`b${row}`)}  f32.store 4
        local.get yAt  local.get width  i32.const 2  i32.shl  i32.add  local.set yAt`)}
      local.get column  i32.const 2  i32.add  local.tee column  local.get width  i32.lt_u  br_if 0
    end
    local.get x  local.get span  i32.const 3  i32.shl  i32.add  local.set x  ; four rows, of numbers twice as long
    local.get y  local.get width  i32.const 4  i32.shl  i32.add  local.set y
    local.get row  i32.const 4  i32.add  local.tee row  local.get rows  i32.lt_u  br_if 0
  end
end`;

/** @param {string} listing @returns {number[]} */
const assembled = (listing) =>
  listing.replace(/;.*/g, "").split(/\s+/).filter(Boolean).flatMap((word) => CODES[word] ?? (LOCALS.includes(word) ? LOCALS.indexOf(word) : Number(word)));

/** A length in two bytes, and what is so long. @param {number[]} bytes */
const sized = (bytes) => [(bytes.length & 0x7f) | 0x80, bytes.length >> 7, ...bytes];
/** @param {string} text */
const named = (text) => [text.length, ...new TextEncoder().encode(text)];

/** The module: one type, the page's memory, one function of that type, its name, its instructions. */
const moduleBytes = () => Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, ...sized([1, 0x60, GIVEN.length, ...GIVEN.map(() => I32), 0])],
  ...[2, ...sized([1, ...named("page"), ...named("memory"), 2, 0, 1])],
  ...[3, ...sized([1, 0])],
  ...[7, ...sized([1, ...named("product"), 0, 0])],
  ...[10, ...sized([1, ...sized([2, COUNTED.length, I32, HELD.length, V128, ...assembled(LISTING)])])],
]);

const products = /** @type {WeakMap<ArrayBufferLike, (xs: Float32Array, weight: Tensor, ys: Float32Array) => void>} */ (new WeakMap());

/**
 * What works out x · weightᵀ, if it can: the weight lies where it reaches, and its sizes are even.
 * @param {Tensor} weight (out, in)
 */
export function productWith({ data, shape: [width, wide] }) {
  return width % 2 || wide % 2 ? undefined : products.get(data.buffer);
}

/**
 * Room for tensors of these shapes, one after the other, where a product can reach them; if there can be none, anywhere.
 * @param {number[][]} shapes @returns {(shape: number[]) => Float32Array}
 */
export function roomFor(shapes) {
  const count = (/** @type {number[]} */ shape) => shape.reduce((product, size) => product * size, 1);
  const matrices = shapes.filter((shape) => shape.length === 2);
  const [width, wide] = [0, 1].map((axis) => Math.max(0, ...matrices.map((shape) => shape[axis])));
  const yAt = 8 * ROWS * wide; // x stands before it, in double precision,
  let free = yAt + 4 * ROWS * width; // and the tensors after it
  const pages = Math.ceil(shapes.reduce((bytes, shape) => bytes + 16 * Math.ceil(count(shape) / 4), free) / PAGE);
  let memory, product;
  try {
    memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    product = /** @type {any} */ (new WebAssembly.Instance(new WebAssembly.Module(moduleBytes()), { page: { memory } }).exports.product);
  } catch {
    return (shape) => new Float32Array(count(shape));
  }
  const { buffer } = memory;
  const [doubles, floats] = [new Float64Array(buffer), new Float32Array(buffer)];
  products.set(buffer, (xs, { data, shape: [width, wide] }, ys) => {
    const rows = xs.length / wide;
    for (let first = 0; first < rows; first += ROWS) {
      const here = Math.min(ROWS, rows - first);
      pack(xs, first, here, wide, doubles);
      product(0, data.byteOffset, yAt, here, width, 4 * wide);
      ys.set(floats.subarray(yAt / 4, yAt / 4 + here * width), first * width);
    }
  });
  return (shape) => {
    const data = new Float32Array(buffer, free, count(shape));
    free += 16 * Math.ceil(data.length / 4);
    return data;
  };
}

/** Rows of x in fours, two numbers of each in turn; zeros for those that are missing of the last four. @param {Float32Array} xs @param {number} first @param {number} rows @param {number} wide @param {Float64Array} into */
function pack(xs, first, rows, wide, into) {
  let at = 0;
  for (let row = 0; row < rows; row += 4) {
    for (let i = 0; i < wide; i += 2) {
      for (let k = 0; k < 4; k++) {
        const from = (first + row + k) * wide + i;
        into[at++] = row + k < rows ? xs[from] : 0;
        into[at++] = row + k < rows ? xs[from + 1] : 0;
      }
    }
  }
}
