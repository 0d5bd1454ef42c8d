/** Kernel `PackAffine`: float32 [..., channels] to words of codes and of params. */
import * as tf from '@tensorflow/tfjs-core';
import type { PackedLayout } from '../packed-layout';
import { halfAbove, halfBelow, halfFromFloatBits, halfToNumber } from './half-float';
import { type HostKernel, registerHostKernel } from './host-kernel';

/** Scale and zero point NaN: the group comes back as NaN. */
const NAN_PARAMS = 0x7e007e00;

/**
 * Run the kernel.
 * @returns int32 [..., words] and, below 16 bits, int32 [..., groups].
 */
export function packAffine(x: tf.Tensor, layout: PackedLayout): tf.Tensor[] {
  registerHostKernel('PackAffine', hostPackAffine);
  return tf.engine().runKernel('PackAffine', { x }, { ...layout });
}

const hostPackAffine: HostKernel = (memory, inputs, attrs) => {
  const layout = attrs as unknown as PackedLayout;
  const x = inputs.x!;
  const outer = x.shape.slice(0, -1);
  const codes = memory.allocate([...outer, layout.words], 'int32');
  if (layout.bits === 16) {
    packHalves(memory.floats(x), layout, memory.ints(codes));
    return [codes];
  }
  const params = memory.allocate([...outer, layout.groups], 'int32');
  packGroups(memory.floats(x), layout, memory.ints(codes), memory.ints(params));
  return [codes, params];
};

function packHalves(x: Float32Array, { channels, words }: PackedLayout, codes: Int32Array): void {
  const bits = new Int32Array(x.buffer, x.byteOffset, x.length);
  codes.fill(0);
  for (let start = 0, word = 0; start < x.length; start += channels, word += words) {
    for (let c = 0; c < channels; c++) {
      codes[word + (c >> 1)]! |= halfFromFloatBits(bits[start + c]!) << ((c & 1) << 4);
    }
  }
}

function packGroups(
  x: Float32Array,
  layout: PackedLayout,
  codes: Int32Array,
  params: Int32Array,
): void {
  const { channels, bits, groupSize, words } = layout;
  const levels = 2 ** bits - 1;
  codes.fill(0);
  let group = 0;
  for (let start = 0, word = 0; start < x.length; start += channels, word += words) {
    for (let first = 0; first < channels; first += groupSize) {
      const end = Math.min(first + groupSize, channels);
      const param = groupParams(x, start + first, start + end, levels);
      params[group++] = param;
      const scale = halfToNumber(param & 0xffff);
      const zero = halfToNumber(param >>> 16);
      if (!(scale > 0)) continue; // all codes 0: a constant, or NaN
      for (let c = first; c < end; c++) {
        const code = clamp(roundHalfEven((x[start + c]! - zero) / scale), levels);
        const bit = c * bits;
        codes[word + (bit >> 5)]! |= code << (bit & 31);
      }
    }
  }
}

/** Scale and zero point of x[start .. end), as a word. */
function groupParams(x: Float32Array, start: number, end: number, levels: number): number {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let poison = 0; // NaN once a value is NaN or infinite
  for (let i = start; i < end; i++) {
    const value = x[i]!;
    poison += value * 0;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (Number.isNaN(poison)) return NAN_PARAMS;
  const zero = halfBelow(min);
  const scale = halfAbove(Math.max(0, max - halfToNumber(zero)) / levels);
  return scale | (zero << 16);
}

function clamp(code: number, levels: number): number {
  return Math.min(Math.max(code, 0), levels);
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}
