/**
 * Antialiased bicubic resize of 8-bit RGB, equal to Pillow 13's `Image.resize(size, BICUBIC)` to
 * the grey level: two passes with fixed-point sums, rounded and clipped to 8 bits after each, in
 * Pillow's order; a pass whose length does not change is left out. (Pillow up to 12 always runs the
 * horizontal pass first, which differs by a grey level here and there in tall pictures.)
 * Only the asked-for window of the result is computed, so a centre crop of a 1 x 10,000 picture
 * costs what the crop costs.
 */
import { type BicubicWeights, bicubicWeights, PRECISION_BITS } from './bicubic-weights';
import { MAX_IMAGE_PIXELS, type RgbImage, toRgb } from './rgb-image';

export interface ResizeBicubicOptions {
  /** Size of the whole result, in pixels. */
  width: number;
  height: number;
  /** The part of the result to compute. Default: all of it. */
  window?: { left: number; top: number; width: number; height: number };
}

/** Part of a picture that starts at column `left` and row `top` of it. [height, width, 3] */
interface Plane {
  data: Uint8Array | Uint8ClampedArray;
  left: number;
  top: number;
  width: number;
  height: number;
}

/** No pixel lies beyond: keeps positions within 32-bit integers. */
const MAX_RESULT_SIDE = 2 ** 30;

/**
 * Resize a picture, or a window of the resized picture.
 * @param image [h, w, 1..4] bytes; grey is repeated, alpha dropped
 * @returns [window.height, window.width, 3] bytes; may share `image.data` if nothing changes
 * @throws RangeError when a size is no positive integer, too large, or the window sticks out
 */
export function resizeBicubic(image: RgbImage, options: ResizeBicubicOptions): Required<RgbImage> {
  const rgb = toRgb(image);
  const { width, height } = options;
  const window = options.window ?? { left: 0, top: 0, width, height };
  checkSpan('width', width, window.left, window.width);
  checkSpan('height', height, window.top, window.height);
  checkPixels(window.width, window.height);
  const columns = bicubicWeights(rgb.width, width, window.left, window.left + window.width);
  const rows = bicubicWeights(rgb.height, height, window.top, window.top + window.height);
  const across = (plane: Plane) =>
    width === rgb.width ? plane : resizeColumns(plane, columns, window.width);
  const down = (plane: Plane) =>
    height === rgb.height ? plane : resizeRows(plane, rows, window.height);
  const source = cropPlane(
    rgb,
    width === rgb.width ? [window.left, window.left + window.width] : samplesRead(columns),
    height === rgb.height ? [window.top, window.top + window.height] : samplesRead(rows),
  );
  // Pillow goes down first where the height shrinks by more than twice what the width does.
  const shrink = rgb.height - height;
  const downFirst = shrink > 0 && shrink > (rgb.width - width) * 2;
  const { data } = downFirst ? across(down(source)) : down(across(source));
  return { data, width: window.width, height: window.height, channels: 3 };
}

/** Horizontal pass. @returns [plane.height, outWidth, 3] */
function resizeColumns(
  { data, left, top, width, height }: Plane,
  { first, count, weights, stride }: BicubicWeights,
  outWidth: number,
): Plane {
  checkPixels(outWidth, height);
  const out = new Uint8Array(height * outWidth * 3);
  let to = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < outWidth; x++) {
      let r = HALF;
      let g = HALF;
      let b = HALF;
      let from = (y * width + first[x]! - left) * 3;
      const stop = x * stride + count[x]!;
      for (let k = x * stride; k < stop; k++, from += 3) {
        const weight = weights[k]!;
        r = (r + data[from]! * weight) | 0;
        g = (g + data[from + 1]! * weight) | 0;
        b = (b + data[from + 2]! * weight) | 0;
      }
      out[to++] = toByte(r);
      out[to++] = toByte(g);
      out[to++] = toByte(b);
    }
  }
  return { data: out, left: 0, top, width: outWidth, height };
}

/** Vertical pass. @returns [outHeight, plane.width, 3] */
function resizeRows(
  { data, left, top, width }: Plane,
  { first, count, weights, stride }: BicubicWeights,
  outHeight: number,
): Plane {
  checkPixels(width, outHeight);
  const line = width * 3;
  const out = new Uint8Array(outHeight * line);
  const sums = new Int32Array(line);
  for (let y = 0; y < outHeight; y++) {
    sums.fill(HALF);
    for (let k = 0; k < count[y]!; k++) {
      const weight = weights[y * stride + k]!;
      const from = (first[y]! + k - top) * line;
      for (let i = 0; i < line; i++) sums[i]! += data[from + i]! * weight;
    }
    for (let i = 0; i < line; i++) out[y * line + i] = toByte(sums[i]!);
  }
  return { data: out, left, top: 0, width, height: outHeight };
}

/** The input samples, start and end, that a pass reads. */
function samplesRead({ first, count }: BicubicWeights): [number, number] {
  const last = first.length - 1;
  return [first[0]!, first[last]! + count[last]!];
}

/** Columns and rows from start up to end; shares the data where it can. */
function cropPlane(
  { data, width }: Required<RgbImage>,
  [left, right]: [number, number],
  [top, bottom]: [number, number],
): Plane {
  const plane = { left, top, width: right - left, height: bottom - top };
  if (plane.width === width) {
    return { ...plane, data: data.subarray(top * width * 3, bottom * width * 3) };
  }
  const line = plane.width * 3;
  const out = new Uint8Array(plane.height * line);
  for (let y = 0; y < plane.height; y++) {
    const from = ((top + y) * width + left) * 3;
    out.set(data.subarray(from, from + line), y * line);
  }
  return { ...plane, data: out };
}

/** Half a grey level, so that cutting off the fraction rounds. */
const HALF = 2 ** (PRECISION_BITS - 1);

/**
 * Fixed point to a byte. Weights of one sign sum to at most 1.14, so that a sum stays within 32
 * bits, where integers are fast.
 */
function toByte(sum: number): number {
  return Math.max(0, Math.min(sum >> PRECISION_BITS, 255));
}

function checkSpan(name: string, size: number, start: number, length: number): void {
  if (!Number.isInteger(size) || size < 1 || size > MAX_RESULT_SIDE) {
    throw new RangeError(
      `resizeBicubic: ${name} must be an integer in 1..${MAX_RESULT_SIDE}, got ${size}.`,
    );
  }
  const whole = Number.isInteger(start) && Number.isInteger(length);
  if (!whole || start < 0 || length < 1 || start + length > size) {
    throw new RangeError(
      `resizeBicubic: the window's ${name} must lie within 0..${size}, got ${start}..${start + length}.`,
    );
  }
}

function checkPixels(width: number, height: number): void {
  if (width * height > MAX_IMAGE_PIXELS) {
    throw new RangeError(
      `resizeBicubic: at most ${MAX_IMAGE_PIXELS} pixels can be made, got ${width} x ${height}. Ask for a smaller size or a window.`,
    );
  }
}
