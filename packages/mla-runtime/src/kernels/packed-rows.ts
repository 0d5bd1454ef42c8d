/** Some rows of a packed matrix as f32 on webgpu: embeddings of tokens, or all of a weight. */
import * as tf from '@tensorflow/tfjs-core';
import { isIntegerFormat, VALUES_A_WORD } from '../webgpu/weight-format';
import type { PackedPart, PackedShape } from './packed-mat-mul';
import { PACKED_VALUE } from './packed-value';

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
  { format, groupSize, inputs: width }: PackedShape,
): tf.Tensor2D {
  registerOnWebGpu();
  const inputs = { ids, words, ...(scales && { scales }) };
  return tf.engine().runKernel(KERNEL, inputs, { format, groupSize, first, inputs: width });
}

/** Once, on the first call: importing the package has no effect. */
function registerOnWebGpu(): void {
  if (tf.getKernel(KERNEL, 'webgpu')) return;
  tf.registerKernel({
    kernelName: KERNEL,
    backendName: 'webgpu',
    kernelFunc: ({ inputs, attrs, backend }) => {
      const { ids, words, scales } = inputs;
      const { first, ...shape } = attrs as unknown as PackedShape & { first: number };
      return (backend as unknown as WebGpuBackend).runWebGPUProgram(
        packedRowsProgram(shape, ids!.shape[0]!),
        scales ? [ids!, words!, scales] : [ids!, words!],
        'float32',
        [{ type: 'int32', data: [first] }],
      );
    },
  });
}

/** What the kernel uses of the backend, which is no dependency of this package. */
interface WebGpuBackend {
  runWebGPUProgram(
    program: ReturnType<typeof packedRowsProgram>,
    inputs: tf.TensorInfo[],
    dtype: 'float32',
    uniforms: { type: 'int32'; data: number[] }[],
  ): tf.TensorInfo;
}

/** The program for n rows. */
export function packedRowsProgram({ format, inputs, groupSize }: PackedShape, n: number) {
  const perWord = VALUES_A_WORD[format];
  const words = Math.ceil(inputs / perWord);
  const scaled = isIntegerFormat(format);
  const variableNames = scaled ? ['ids', 'words', 'scales'] : ['ids', 'words'];
  const scale = `* scales[row * ${Math.ceil(inputs / groupSize)} + i / ${groupSize}]`;
  return {
    outputShape: [n, inputs],
    variableNames,
    variableComponents: variableNames.map(() => 1),
    outputComponent: 1,
    uniforms: 'first : i32,',
    shaderKey: `packedRows ${format} ${inputs} ${scaled ? groupSize : ''}`,
    workgroupSize: [THREADS, 1, 1] as [number, number, number],
    dispatchLayout: { x: [0] },
    dispatch: [Math.ceil((n * inputs) / THREADS), 1, 1] as [number, number, number],
    size: true,
    getUserCode: () => /* wgsl */ `
fn value(word : u32, k : u32) -> f32 { ${PACKED_VALUE[format]} }

fn main(index : i32) {
  if (index >= uniforms.size) { return; }
  let row = ids[index / ${inputs}] - uniforms.first;
  let i = index % ${inputs};
  result[index] = 0.0;
  if (row < 0 || row >= uniforms.wordsShape.x) { return; }
  let word = bitcast<u32>(words[row * ${words} + i / ${perWord}]);
  result[index] = value(word, u32(i % ${perWord})) ${scaled ? scale : ''};
}`,
  };
}
