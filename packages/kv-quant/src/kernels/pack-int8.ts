/**
 * Kernel `PackInt8`: scale = max |x| / 127 in float32, code = round(x / scale) in two's complement.
 * The word of params is the bits of the scale.
 */
import { bitsOfFloat } from './half-float';
import { INT8_MAX_SCALE } from './int8-max-scale';
import { type EncodeGroup, packGroups, packOp, ROUNDER } from './pack-kernel';

const encodeGroup: EncodeGroup = (x, { first, count }, _layout, codes) => {
  let largest = 0;
  let poison = 0; // NaN once a value is NaN or infinite
  for (let i = first; i < first + count; i++) {
    const value = x[i]!;
    poison += value * 0;
    largest = Math.max(largest, Math.abs(value));
  }
  const finite = Math.fround(Math.min(largest / 127, INT8_MAX_SCALE));
  const scale = Number.isNaN(poison) ? Number.NaN : finite;
  for (let i = first; i < first + count; i++) {
    const steps = scale > 0 ? Math.fround(x[i]! / scale) : 0;
    codes[i] = (Math.min(Math.max(steps, -127), 127) + ROUNDER - ROUNDER) & 255;
  }
  return bitsOfFloat(scale);
};

export const packInt8 = packOp('PackInt8', packGroups(encodeGroup));
