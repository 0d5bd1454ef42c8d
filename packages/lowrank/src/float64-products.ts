/**
 * Products of large float64 matrices. TensorFlow has them six times faster than wasm, but tfjs has no
 * float64, so this asks its binding, which is no public interface: where it is not as expected,
 * and on every other backend, wasm computes the same.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LinearAlgebra } from './linear-algebra';
import { transpose } from './transpose';

/** Sizes of the product [m, n] of a sum over k, and which operand is given transposed. */
export interface ProductShape {
  m: number;
  k: number;
  n: number;
  /** a is [k, m]. */
  transposeA?: boolean;
  /** b is [n, k]. */
  transposeB?: boolean;
}

export type Float64Product = (
  a: Float64Array,
  b: Float64Array,
  shape: ProductShape,
) => Float64Array;

/** @returns products by the current backend. */
export function float64Products(la: LinearAlgebra): Float64Product {
  const binding = bindingOf(tf.getBackend());
  return (a, b, shape) => {
    const { m, k, n, transposeA = false, transposeB = false } = shape;
    if (binding && m * k * n > 0) return tensorflowProduct(binding, a, b, shape);
    const left = transposeA ? transpose(a, k, m) : a;
    const right = transposeB ? transpose(b, n, k) : b;
    return la.matmul(left, right, m, k, n);
  };
}

/** What is used of tfjs-node's binding to TensorFlow's C interface. */
interface Binding {
  createTensor(shape: number[], dtype: number, values: Uint8Array): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Int32Array;
  executeOp(
    name: string,
    attributes: { name: string; type: number; value: number | boolean }[],
    inputs: number[],
    outputs: number,
  ): { id: number }[];
  TF_ATTR_TYPE: number;
  TF_ATTR_BOOL: number;
  TF_UINT8: number;
  TF_INT32: number;
}

/** TF_DOUBLE of tensorflow/c/tf_datatype.h, which tfjs-node does not name. */
const DOUBLE = 2;

function bindingOf(backend: string): Binding | undefined {
  if (backend !== 'tensorflow') return undefined;
  const { binding } = tf.backend() as unknown as { binding?: Partial<Binding> };
  const known = typeof binding?.executeOp === 'function' && typeof binding.TF_UINT8 === 'number';
  return known ? (binding as Binding) : undefined;
}

function tensorflowProduct(
  binding: Binding,
  a: Float64Array,
  b: Float64Array,
  { m, k, n, transposeA = false, transposeB = false }: ProductShape,
): Float64Array {
  const live: number[] = [];
  const kept = (id: number) => {
    live.push(id);
    return id;
  };
  const type = (name: string, value: number) => ({ name, type: binding.TF_ATTR_TYPE, value });
  const flag = (name: string, value: boolean) => ({ name, type: binding.TF_ATTR_BOOL, value });
  const run = (name: string, attributes: Parameters<Binding['executeOp']>[1], inputs: number[]) =>
    kept(binding.executeOp(name, attributes, inputs, 1)[0]!.id);
  const upload = (values: Float64Array, rows: number, cols: number) => {
    const bytes = kept(binding.createTensor([rows, cols, 8], binding.TF_UINT8, bytesOf(values)));
    return run('Bitcast', [type('T', binding.TF_UINT8), type('type', DOUBLE)], [bytes]);
  };
  try {
    const left = transposeA ? upload(a, k, m) : upload(a, m, k);
    const right = transposeB ? upload(b, n, k) : upload(b, k, n);
    const attributes = [
      type('T', DOUBLE),
      flag('transpose_a', transposeA),
      flag('transpose_b', transposeB),
    ];
    const product = run('MatMul', attributes, [left, right]);
    const words = run('Bitcast', [type('T', DOUBLE), type('type', binding.TF_INT32)], [product]);
    const { buffer, byteOffset, byteLength } = binding.tensorDataSync(words);
    return new Float64Array(buffer.slice(byteOffset, byteOffset + byteLength));
  } finally {
    for (const id of live) binding.deleteTensor(id);
  }
}

/** Copied where threads share the memory, which the binding does not take. */
function bytesOf(values: Float64Array): Uint8Array {
  const own = values.buffer instanceof ArrayBuffer ? values : new Float64Array(values);
  return new Uint8Array(own.buffer, own.byteOffset, own.byteLength);
}
