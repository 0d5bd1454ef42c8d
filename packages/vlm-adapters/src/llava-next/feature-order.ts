import type { PictureTiling } from './picture-tiling';

/**
 * The order in which the language model gets features: of each picture the whole, then the kept
 * patches of all its tiles row by row, a newline after each row.
 * @returns [tokens], indices into [crops * patches + 1, D]: the features of all pictures' crops,
 *   then the newline
 */
export function featureOrder(pictures: readonly PictureTiling[]): Int32Array {
  const sum = (count: (picture: PictureTiling) => number) =>
    pictures.reduce((total, picture) => total + count(picture), 0);
  const order = new Int32Array(sum(({ tokens }) => tokens));
  const newline = sum(({ crops, grid }) => crops * grid ** 2);
  let [to, first] = [0, 0];
  for (const { crops, columns, grid, kept } of pictures) {
    const patches = grid ** 2;
    for (let i = 0; i < patches; i++) order[to++] = first + i;
    for (let y = kept.top; y < kept.top + kept.height; y++) {
      for (let x = kept.left; x < kept.left + kept.width; x++) {
        const crop = 1 + Math.floor(y / grid) * columns + Math.floor(x / grid);
        order[to++] = first + crop * patches + (y % grid) * grid + (x % grid);
      }
      order[to++] = newline;
    }
    first += crops * patches;
  }
  return order;
}
