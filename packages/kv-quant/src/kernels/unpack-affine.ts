/** Kernel `UnpackAffine`: words of codes and of params to float32 [..., channels]. */
import * as tf from '@tensorflow/tfjs-core';
import type { PackedLayout } from '../packed-layout';
import { floatBitsFromHalf, halfToNumber } from './half-float';
import { type HostKernel, registerHostKernel } from './host-kernel';

/** Run the kernel. */
export function unpackAffine(
  codes: tf.Tensor,
  params: tf.Tensor | undefined,
  layout: PackedLayout,
): tf.Tensor {
  registerHostKernel('UnpackAffine', hostUnpackAffine);
  const inputs: tf.NamedTensorMap = params ? { codes, params } : { codes };
  const { channels, bits, groupSize, words, groups } = layout;
  const attrs = { channels, bits, groupSize, words, groups };
  const [values] = tf.engine().runKernel('UnpackAffine', inputs, attrs) as tf.Tensor[];
  return values!;
}

const hostUnpackAffine: HostKernel = (memory, inputs, attrs) => {
  const layout = attrs as unknown as PackedLayout;
  const codes = inputs.codes!;
  const values = memory.allocate([...codes.shape.slice(0, -1), layout.channels], 'float32');
  if (layout.bits === 16) unpackHalves(memory.ints(codes), layout, memory.floats(values));
  else {
    unpackGroups(memory.ints(codes), memory.ints(inputs.params!), layout, memory.floats(values));
  }
  return [values];
};

function unpackHalves(codes: Int32Array, layout: PackedLayout, values: Float32Array): void {
  const { channels, words } = layout;
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  for (let start = 0, word = 0; start < values.length; start += channels, word += words) {
    for (let c = 0; c < channels; c++) {
      const half = codes[word + (c >> 1)]! >>> ((c & 1) << 4);
      bits[start + c] = floatBitsFromHalf(half & 0xffff);
    }
  }
}

function unpackGroups(
  codes: Int32Array,
  params: Int32Array,
  { channels, bits, groupSize, words }: PackedLayout,
  values: Float32Array,
): void {
  const mask = 2 ** bits - 1;
  let group = 0;
  for (let start = 0, word = 0; start < values.length; start += channels, word += words) {
    for (let first = 0; first < channels; first += groupSize) {
      const end = Math.min(first + groupSize, channels);
      const param = params[group++]!;
      const scale = halfToNumber(param & 0xffff);
      const zero = halfToNumber(param >>> 16);
      for (let c = first; c < end; c++) {
        const bit = c * bits;
        const code = (codes[word + (bit >> 5)]! >>> (bit & 31)) & mask;
        values[start + c] = code * scale + zero;
      }
    }
  }
}
