/** Some rows of a packed matrix as f32 on webgpu: embeddings of tokens, or all of a weight. */
import * as tf from '@tensorflow/tfjs-core';
import { isIntegerFormat, VALUES_A_WORD } from '../webgpu/weight-format';
import type { PackedPart, PackedShape } from './packed-mat-mul';
import { scaledValue, scaleElement, scalesKey, valueFunctions } from './packed-value';
import { programForm, registerWebGpuKernel } from './webgpu-kernel';

const KERNEL = 'PackedRows';
const THREADS = 64;

/**
 * @param ids int32 [n], numbers of rows of the whole matrix.
 * @param part some of its rows, from `first` on.
 * @returns [n, inputs], zeros for rows of other parts; the caller disposes it.
 */
export function packedRows(
  ids: tf.Tensor1D,
  { first, words, scales }: PackedPart & { first: number },
  { format, groupSize, zeroPoints = false, inputs: width }: PackedShape,
): tf.Tensor2D {
  register();
  const inputs = { ids, words, ...(scales && { scales }) };
  const attrs = { format, groupSize, zeroPoints, first, inputs: width };
  return tf.engine().runKernel(KERNEL, inputs, attrs);
}

function register(): void {
  registerWebGpuKernel(KERNEL, ({ ids, words, scales }, attrs) => {
    const { first, ...shape } = attrs as unknown as PackedShape & { first: number };
    return {
      program: packedRowsProgram(shape, ids!.shape[0]!),
      inputs: scales ? [ids!, words!, scales] : [ids!, words!],
      uniforms: [{ type: 'int32', data: [first] }],
    };
  });
}

/** The program for n rows. */
export function packedRowsProgram(shape: PackedShape, n: number) {
  const { format, inputs, groupSize } = shape;
  const perWord = VALUES_A_WORD[format];
  const words = Math.ceil(inputs / perWord);
  const variableNames = isIntegerFormat(format) ? ['ids', 'words', 'scales'] : ['ids', 'words'];
  const scale = scaleElement(shape, `row * ${Math.ceil(inputs / groupSize)} + i / ${groupSize}`);
  return {
    outputShape: [n, inputs],
    ...programForm(variableNames, Math.ceil((n * inputs) / THREADS), THREADS),
    uniforms: 'first : i32,',
    shaderKey: `packedRows ${format} ${inputs} ${scalesKey(shape)}`,
    size: true,
    getUserCode: () => /* wgsl */ `
${valueFunctions(shape)}

fn main(index : i32) {
  if (index >= uniforms.size) { return; }
  let row = ids[index / ${inputs}] - uniforms.first;
  let i = index % ${inputs};
  result[index] = 0.0;
  if (row < 0 || row >= uniforms.wordsShape.x) { return; }
  let word = bitcast<u32>(words[row * ${words} + i / ${perWord}]);
  result[index] = ${scaledValue(shape, 'word', `u32(i % ${perWord})`, scale)};
}`,
  };
}
