/** WGSL that takes a value out of a packed word. */
import { isIntegerFormat, type PackedForm, type WeightFormat } from '../webgpu/weight-format';

/** The k-th value of a word without its scale. */
const BODY: Record<WeightFormat, string> = {
  f32: 'return bitcast<f32>(word);',
  f16: 'return unpack2x16float(word)[k];',
  int8: 'return f32(extractBits(bitcast<i32>(word), 8u * k, 8u));',
  int4: 'return f32(extractBits(bitcast<i32>(word), 4u * k, 4u));',
};

/** Functions that `scaledValue` calls. */
export function valueFunctions({ format, zeroPoints }: PackedForm): string {
  const value = `fn value(word : u32, k : u32) -> f32 { ${BODY[format]} }`;
  if (!zeroPoints) return value;
  return /* wgsl */ `${value}
fn scaled(word : u32, k : u32, scale : u32) -> f32 {
  let zero = extractBits(bitcast<i32>(scale), 0u, 8u);
  return (value(word, k) - f32(zero)) * bitcast<f32>(scale & 0xffffff00u);
}`;
}

/** An expression for the k-th value of a word; `scale` is an f32, or a u32 that holds a zero point. */
export function scaledValue(
  { format, zeroPoints }: PackedForm,
  word: string,
  k: string,
  scale: string,
): string {
  if (zeroPoints) return `scaled(${word}, ${k}, ${scale})`;
  return isIntegerFormat(format) ? `value(${word}, ${k}) * ${scale}` : `value(${word}, ${k})`;
}

/** An element of the scales as `scaledValue` takes it, of a tensor of TensorFlow.js. */
export function scaleElement({ zeroPoints }: PackedForm, at: string): string {
  return zeroPoints ? `bitcast<u32>(scales[${at}])` : `scales[${at}]`;
}

/** What of a form is baked into programs, beside the format. */
export function scalesKey({ format, groupSize, zeroPoints }: PackedForm): string {
  return isIntegerFormat(format) ? `${groupSize}${zeroPoints ? ' zeros' : ''}` : '';
}
