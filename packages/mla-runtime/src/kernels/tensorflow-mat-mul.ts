/**
 * Products on TensorFlow's native library. `tf.matMul` always asks it for `BatchMatMulV2`, which on a
 * processor is oneDNN's: setting that up takes 60 us, and of one row it is 1.5 to 3 times slower than
 * Eigen's. Two matrices go to `MatMul` (one row of 4096 features: 4 ms for 7 to 11), a stack of one row
 * or of little work to `BatchMatMulV3`, which oneDNN leaves to Eigen (a row's scores over 16,384 tokens
 * of 32 heads: 12 ms for 20).
 */
import * as tf from '@tensorflow/tfjs-core';
import { isTensorFlowOnProcessor } from './host-backends';

/** Multiplications from which oneDNN's stacks are the faster, where they have several rows. */
const MANY_PRODUCTS = 2 ** 20;

interface OpAttribute {
  name: string;
  type: number;
  value: unknown;
}

/** What the kernel uses of the backend, which is no dependency of this package. */
interface TensorFlowBackend {
  binding: { TF_ATTR_TYPE: number; TF_ATTR_BOOL: number; TF_FLOAT: number };
  executeSingleOutput(op: string, attributes: OpAttribute[], inputs: tf.TensorInfo[]): tf.Tensor;
}

/**
 * Register it under a name, once and if this backend is that library on a processor. Inputs `a` and
 * `b`, attributes `transposeA` and `transposeB`; leading dimensions are equal.
 */
export function registerTensorFlowMatMul(kernelName: string): void {
  if (!isTensorFlowOnProcessor() || tf.getKernel(kernelName, 'tensorflow')) return;
  if (!hasEigenStacks(tf.backend() as unknown as TensorFlowBackend)) return;
  tf.registerKernel({
    kernelName,
    backendName: 'tensorflow',
    kernelFunc: ({ inputs, attrs, backend }) =>
      product(
        backend as unknown as TensorFlowBackend,
        inputs as Record<'a' | 'b', tf.TensorInfo>,
        attrs as Record<'transposeA' | 'transposeB', boolean>,
      ),
  });
}

/** Older libraries have no such op of float32. */
function hasEigenStacks(library: TensorFlowBackend): boolean {
  const one = tf.ones([1, 1, 1]);
  try {
    product(library, { a: one, b: one }, { transposeA: false, transposeB: false }).dispose();
    return true;
  } catch {
    return false;
  } finally {
    one.dispose();
  }
}

function product(
  backend: TensorFlowBackend,
  { a, b }: Record<'a' | 'b', tf.TensorInfo>,
  { transposeA, transposeB }: Record<'transposeA' | 'transposeB', boolean>,
): tf.Tensor {
  const { TF_ATTR_TYPE, TF_ATTR_BOOL, TF_FLOAT } = backend.binding;
  const types = (...names: string[]) =>
    names.map((name) => ({ name, type: TF_ATTR_TYPE, value: TF_FLOAT }));
  const flags = (nameA: string, nameB: string) => [
    { name: nameA, type: TF_ATTR_BOOL, value: transposeA },
    { name: nameB, type: TF_ATTR_BOOL, value: transposeB },
  ];
  const run = (op: string, attributes: OpAttribute[]) =>
    backend.executeSingleOutput(op, attributes, [a, b]);
  if (a.shape.length === 2) {
    return run('MatMul', [...types('T'), ...flags('transpose_a', 'transpose_b')]);
  }
  const rows = a.shape.at(transposeA ? -1 : -2)!;
  const outer = b.shape.at(transposeB ? -2 : -1)!;
  const little = rows === 1 || tf.util.sizeFromShape(a.shape) * outer < MANY_PRODUCTS;
  return little
    ? run('BatchMatMulV3', [...types('Ta', 'Tb', 'Tout'), ...flags('adj_x', 'adj_y')])
    : run('BatchMatMulV2', [...types('T'), ...flags('adj_x', 'adj_y')]);
}
