/**
 * A decoded picture: rows from the top, pixels from the left, channels interleaved, 8 bits each.
 * Decoding belongs to the application (a codec in Node, `createImageBitmap` in a page).
 */

export interface RgbImage {
  /** height * width * channels bytes. */
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  /** 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA. Default: what the length of `data` says. */
  channels?: number;
}

/** Pillow refuses pictures above twice its 89 million pixel warning; 512 MiB of RGB bytes. */
export const MAX_IMAGE_PIXELS = 178_956_970;

/** JPEG ends at 65,535; a longer side is a picture that no one took. Bounds the filter tables. */
export const MAX_IMAGE_SIDE = 1 << 20;

/**
 * Give the picture as three-channel RGB: grey is repeated, alpha is dropped, as PIL's
 * `convert("RGB")` does. A picture that is RGB already is returned as it is, not copied.
 * @returns data of 3 * height * width bytes
 * @throws TypeError when `data` holds no 8-bit samples; RangeError for sizes that do not fit
 */
export function toRgb(image: RgbImage): Required<RgbImage> {
  const channels = checkImage(image);
  const { data, width, height } = image;
  if (channels === 3) return { data, width, height, channels };
  const rgb = new Uint8Array(width * height * 3);
  // Grey pictures have one colour channel, so green and blue read it again.
  const green = channels === 4 ? 1 : 0;
  const blue = channels === 4 ? 2 : 0;
  for (let from = 0, to = 0; to < rgb.length; from += channels, to += 3) {
    rgb[to] = data[from]!;
    rgb[to + 1] = data[from + green]!;
    rgb[to + 2] = data[from + blue]!;
  }
  return { data: rgb, width, height, channels: 3 };
}

/**
 * Check sizes against the data.
 * @returns the number of channels
 * @throws those of `toRgb`
 */
export function checkImage({ data, width, height, channels }: RgbImage): number {
  if (!(data instanceof Uint8Array) && !(data instanceof Uint8ClampedArray)) {
    throw new TypeError(
      `toRgb: data must be a Uint8Array or Uint8ClampedArray, got ${Object.prototype.toString.call(data)}. Decode the picture to 8-bit RGB first.`,
    );
  }
  for (const [name, side] of Object.entries({ width, height })) {
    if (!Number.isInteger(side) || side < 1 || side > MAX_IMAGE_SIDE) {
      throw new RangeError(
        `toRgb: ${name} must be an integer in 1..${MAX_IMAGE_SIDE}, got ${side}.`,
      );
    }
  }
  const pixels = width * height;
  if (pixels > MAX_IMAGE_PIXELS) {
    throw new RangeError(
      `toRgb: a picture must have at most ${MAX_IMAGE_PIXELS} pixels, got ${width} x ${height} = ${pixels}. Scale it down first.`,
    );
  }
  const found = channels ?? data.length / pixels;
  if (!Number.isInteger(found) || found < 1 || found > 4 || data.length !== pixels * found) {
    throw new RangeError(
      `toRgb: data must hold width x height x channels (1 to 4) bytes, got ${data.length} for ${width} x ${height} x ${channels ?? '?'}.`,
    );
  }
  return found;
}
