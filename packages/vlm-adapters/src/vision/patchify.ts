/**
 * Cut pictures into patches, so that a convolution whose stride is its kernel becomes one product.
 * @param pixels [pictures, 3, size, size].
 * @returns values and shape [pictures, patches, 3 * patch * patch]: patches in raster order, each
 *   by channel, row, column, as a convolution's weight is laid out.
 */
export function patchify(
  pixels: Float32Array,
  pictures: number,
  size: number,
  patch: number,
): [Float32Array, [number, number, number]] {
  if (pixels.length !== pictures * 3 * size * size) {
    throw new RangeError(
      `patchify: pixels must be [${pictures}, 3, ${size}, ${size}], got ${pixels.length} values.`,
    );
  }
  const grid = Math.floor(size / patch);
  const width = 3 * patch * patch;
  const values = new Float32Array(pictures * grid * grid * width);
  let target = 0;
  for (let picture = 0; picture < pictures; picture++) {
    for (let index = 0; index < grid * grid; index++) {
      const top = Math.floor(index / grid) * patch;
      const left = (index % grid) * patch;
      for (let channel = 0; channel < 3; channel++) {
        for (let y = top; y < top + patch; y++) {
          const start = ((picture * 3 + channel) * size + y) * size + left;
          // A view and a copy of so few values take ten times as long.
          for (let x = 0; x < patch; x++) values[target++] = pixels[start + x]!;
        }
      }
    }
  }
  return [values, [pictures, grid * grid, width]];
}
