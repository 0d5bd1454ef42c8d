/**
 * Products of few rows on wasm, as decode is made of: a row with a weight, a query's scores, a weighted sum
 * of cached vectors. XNNPACK packs the second matrix anew for each pair of a stack, which few rows do not
 * pay back, and without it TensorFlow.js runs at 1 GFLOP/s. Here vector instructions go over it once, as
 * it lies (`native/src/lib.rs`), in the backend's own memory.
 */
import * as tf from '@tensorflow/tfjs-core';
import { type WasmBackend, wasmModule } from '../host/host-module';
import { isOnTape } from './on-tape';

const KERNEL = 'FewRowsProduct';
/** Most rows: each goes over the second matrix, out of a cache by then. */
const MOST_ROWS = 8;
/** Of two matrices XNNPACK keeps how it packed the second: this is faster up to so many values of it. */
const MOST_PACKED = 2 ** 18;
const MOST_ROWS_PACKED = 2;

/**
 * Multiply on wasm, if a has few rows and there is no tape.
 * @param a [..., M, I], f32, not empty.
 * @param b [..., I, O], with transposeB [..., O, I]; leading dimensions equal to a's.
 * @returns [..., M, O], which the caller disposes; `undefined` where another way serves.
 */
export function fewRowsProduct(
  a: tf.Tensor,
  b: tf.Tensor,
  transposeB: boolean,
): tf.Tensor | undefined {
  const rows = a.shape.at(-2)!;
  const isPacked = a.rank === 2 && !transposeB;
  if (rows > (isPacked ? MOST_ROWS_PACKED : MOST_ROWS) || isOnTape()) return undefined;
  if (isPacked && b.size > MOST_PACKED) return undefined;
  if (!wasmModule()) return undefined;
  register();
  return tf.engine().runKernel(KERNEL, { a, b }, { transposeB }) as tf.Tensor;
}

/** On the first call: importing the package has no effect. */
function register(): void {
  if (tf.getKernel(KERNEL, 'wasm')) return;
  tf.registerKernel({
    kernelName: KERNEL,
    backendName: 'wasm',
    kernelFunc: ({ inputs, attrs, backend: anyBackend }) => {
      const backend = anyBackend as unknown as WasmBackend;
      const { a, b } = inputs as Record<'a' | 'b', tf.TensorInfo>;
      const { transposeB } = attrs as { transposeB: boolean };
      const { dots, sums } = wasmModule()!;
      const [rows, inner] = a.shape.slice(-2) as [number, number];
      const outer = b.shape.at(transposeB ? -2 : -1)!;
      const count = tf.util.sizeFromShape(a.shape) / (rows * inner);
      const out = backend.makeOutput([...a.shape.slice(0, -1), outer], 'float32');
      const [atA, atB, atOut] = [a, b, out].map(({ dataId }) => backend.getMemoryOffset(dataId));
      if (transposeB) dots(count, rows, outer, inner, atA!, atB!, atOut!);
      else sums(count, rows, inner, outer, atA!, atB!, atOut!);
      return out;
    },
  });
}
