/**
 * Kernel `PackStatic`: code = round((x - zero) / scale) against the scale and the zero point that its
 * channel was given, cut to what its bits hold. Codes alone cannot say that a value was no number,
 * so such values are refused.
 */
import { bandsOf } from '../quant-spec';
import { packCodes } from './code-words';
import { packOp, ROUNDER } from './pack-kernel';
import { tableRow } from './static-table';

export const packStatic = packOp('PackStatic', (x, layout, words) => {
  const { channels } = layout;
  const { scales, zeros } = layout.table!;
  const bands = bandsOf(layout, channels);
  const codes = new Uint8Array(channels);
  for (let row = 0; row * channels < x.length; row++) {
    const at = tableRow(layout, row);
    for (const { bits, channels: count, first, word } of bands) {
      const levels = 2 ** bits - 1;
      for (let c = first; c < first + count; c++) {
        const value = x[row * channels + c]!;
        if (!Number.isFinite(value)) {
          throw new RangeError(
            `quantize: x must be finite where scales are static, got ${value} in channel ${c}.`,
          );
        }
        const steps = Math.fround(Math.fround(value - zeros[at + c]!) / scales[at + c]!);
        codes[c] = Math.min(Math.max(steps, 0), levels) + ROUNDER - ROUNDER;
      }
      packCodes(codes, first, count, bits, words, row * layout.words + word);
    }
  }
});
