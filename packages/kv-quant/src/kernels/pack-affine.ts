/** Kernel `PackAffine`: float32 [..., channels] to words of codes and of params. */
import type * as tf from '@tensorflow/tfjs-core';
import type { PackedLayout } from '../packed-layout';
import { halfAbove, halfBelow, halfFromFloatBits, halfValues } from './half-float';
import { type HostKernel, registerHostKernel } from './host-kernel';
import { runKernel } from './run-kernel';

/** Scale and zero point NaN: the group comes back as NaN. */
const NAN_PARAMS = 0x7e007e00;

/** Added and taken away again, it rounds a number below 2^51 to an integer, ties to even. */
const ROUNDER = 1.5 * 2 ** 52;

/**
 * Run the kernel.
 * @param x float32 [..., channels].
 * @returns int32 [..., words] and, below 16 bits, int32 [..., groups].
 */
export function packAffine(x: tf.Tensor, layout: PackedLayout): tf.Tensor[] {
  registerHostKernel('PackAffine', hostPackAffine);
  return runKernel('PackAffine', { x }, { ...layout });
}

const hostPackAffine: HostKernel = (inputs, attrs) => {
  const layout = attrs as unknown as PackedLayout;
  const outer = inputs.x!.shape.slice(0, -1);
  const widths = layout.bits === 16 ? [layout.words] : [layout.words, layout.groups];
  return {
    outputs: widths.map((width) => ({ shape: [...outer, width], dtype: 'int32' })),
    run({ x }, [codeWords, paramWords]) {
      const values = x as Float32Array;
      if (paramWords) packGroups(values, layout, codeWords as Int32Array, paramWords as Int32Array);
      else packHalves(values, layout, codeWords as Int32Array);
    },
  };
};

function packHalves(x: Float32Array, { channels }: PackedLayout, codes: Int32Array): void {
  const bits = new Int32Array(x.buffer, x.byteOffset, x.length);
  let word = 0;
  for (let start = 0; start < x.length; start += channels) {
    const end = start + channels;
    for (let i = start; i < end; i += 2) {
      const high = i + 1 < end ? halfFromFloatBits(bits[i + 1]!) : 0;
      codes[word++] = halfFromFloatBits(bits[i]!) | (high << 16);
    }
  }
}

function packGroups(
  x: Float32Array,
  { channels, bits, groupSize }: PackedLayout,
  codes: Int32Array,
  params: Int32Array,
): void {
  const levels = 2 ** bits - 1;
  const values = halfValues();
  let group = 0;
  let word = 0;
  for (let start = 0; start < x.length; start += channels) {
    const stop = start + channels;
    let filled = 0; // the word that is being filled, and its bits so far
    let shift = 0;
    for (let first = start; first < stop; first += groupSize) {
      const end = Math.min(first + groupSize, stop);
      const param = groupParams(x, first, end, levels);
      params[group++] = param;
      const scale = values[param & 0xffff]!;
      const zero = values[param >>> 16]!;
      for (let i = first; i < end; i++) {
        // Each step rounded to f32, as the composed twin has it.
        const steps = Math.fround(Math.fround(x[i]! - zero) / scale);
        const clamped = Math.min(Math.max(steps, 0), levels);
        // NaN, from a scale of 0 or NaN, gives code 0.
        filled |= (clamped + ROUNDER - ROUNDER) << shift;
        shift += bits;
        if (shift === 32) {
          codes[word++] = filled;
          filled = 0;
          shift = 0;
        }
      }
    }
    if (shift > 0) codes[word++] = filled;
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
  const range = Math.fround(max - halfValues()[zero]!);
  return halfAbove(Math.fround(Math.max(0, range) / levels)) | (zero << 16);
}
