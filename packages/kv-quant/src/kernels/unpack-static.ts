/** Kernel `UnpackStatic`: code * scale + zero of the channel, in f64, rounded once. */
import { bandsOf } from '../quant-spec';
import { unpackCodes } from './code-words';
import { unpackOp } from './pack-kernel';
import { tableRow } from './static-table';

export const unpackStatic = unpackOp('UnpackStatic', (words, _params, layout, values) => {
  const { channels } = layout;
  const { scales, zeros } = layout.table!;
  const bands = bandsOf(layout, channels);
  const codes = new Uint8Array(channels);
  for (let row = 0; row * channels < values.length; row++) {
    const at = tableRow(layout, row);
    for (const { bits, channels: count, first, word } of bands) {
      if (bits === 0) codes.fill(0, 0, count);
      else unpackCodes(words, row * layout.words + word, count, bits, codes);
      for (let c = 0, i = row * channels + first; c < count; c++, i++) {
        values[i] = codes[c]! * scales[at + first + c]! + zeros[at + first + c]!;
      }
    }
  }
});
