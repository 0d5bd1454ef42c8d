/** Kernel `UnpackInt8`: code * scale, rounded to float32. */
import { floatView } from './half-float';
import { unpackOp } from './pack-kernel';

export const unpackInt8 = unpackOp('UnpackInt8', (words, params, layout, values) => {
  const { channels, groupSize } = layout;
  const scales = floatView(params);
  let group = 0;
  for (let row = 0, word = 0; row < values.length; row += channels, word += layout.words) {
    for (let first = 0; first < channels; first += groupSize) {
      const end = Math.min(first + groupSize, channels);
      const scale = scales[group++]!;
      for (let c = first; c < end; c++) {
        const code = (words[word + (c >> 2)]! << (24 - 8 * (c & 3))) >> 24; // sign kept
        values[row + c] = code * scale;
      }
    }
  }
});
