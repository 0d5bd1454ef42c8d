import { halfValues } from '@mha2mla/kv-quant';
import { type PackedWeight, VALUES_A_WORD } from './weight-format';

/** The values that the words stand for, [outputs, inputs]: the oracle of the kernels. */
export function unpackWeight(weight: PackedWeight): Float32Array {
  const { format, inputs, outputs, words, scales, groupSize, zeroPoints } = weight;
  const perWord = VALUES_A_WORD[format];
  const rowWords = Math.ceil(inputs / perWord);
  const groups = Math.ceil(inputs / groupSize);
  const bits = 32 / perWord;
  const floats = new Float32Array(words.buffer);
  return Float32Array.from({ length: outputs * inputs }, (_, i) => {
    const [row, column] = [Math.floor(i / inputs), i % inputs];
    const at = row * rowWords + Math.floor(column / perWord);
    if (format === 'f32') return floats[at]!;
    const code = words[at]! >>> (bits * (column % perWord));
    if (format === 'f16') return halfValues()[code & 0xffff]!;
    const signed = (code << (32 - bits)) >> (32 - bits);
    const scale = scales[row * groups + Math.floor(column / groupSize)]!;
    if (!zeroPoints) return signed * scale;
    const bytes = new DataView(Float32Array.of(scale).buffer);
    const zero = bytes.getInt8(0); // the lowest: words are little-endian
    bytes.setInt8(0, 0);
    return (signed - zero) * bytes.getFloat32(0, true);
  });
}
