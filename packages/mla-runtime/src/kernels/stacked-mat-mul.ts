/**
 * Products of two matrices, or of two stacks of them, a[i] b[i] for every i. TensorFlow.js's own op
 * does stacks well but on wasm, whose fast path (XNNPACK) takes a single pair of matrices: they run at
 * 1 GFLOP/s. There a kernel shows the backend one pair after another, in place. On tensorflow a kernel
 * chooses among the library's ops.
 */
import * as tf from '@tensorflow/tfjs-core';
import { fewRowsProduct } from './few-rows-product';
import { registerTensorFlowMatMul } from './tensorflow-mat-mul';

const KERNEL = 'StackedMatMul';

/** Fewest multiplications a pair: below, setting up XNNPACK (5 us) costs more than it saves. */
const FEWEST_PRODUCTS = 8192;
/** Fewest rows of a: each pair's b is packed anew, which few rows do not pay back. */
const FEWEST_ROWS = 4;

/**
 * @param a [..., M, I], f32; [..., I, M] with transposeA.
 * @param b [..., I, O], f32, leading dimensions equal to a's; [..., O, I] with transposeB.
 * @returns [..., M, O]; zeros where I is 0. The caller disposes it.
 */
export function stackedMatMul(
  a: tf.Tensor,
  b: tf.Tensor,
  transposeA = false,
  transposeB = false,
): tf.Tensor {
  const rows = a.shape.at(transposeA ? -1 : -2)!;
  const inner = a.shape.at(transposeA ? -2 : -1)!;
  const outer = b.shape.at(transposeB ? -2 : -1)!;
  const shape = [...a.shape.slice(0, -2), rows, outer];
  // On wasm a product over nothing is uninitialised memory.
  if (a.size === 0 || b.size === 0) return tf.zeros(shape);
  register();
  const backend = tf.getBackend();
  if (!tf.getKernel(KERNEL, backend)) return tf.matMul(a, b, transposeA, transposeB);
  if (backend !== 'wasm') return runKernel(a, b, { transposeA, transposeB });
  const few = transposeA ? undefined : fewRowsProduct(a, b, transposeB);
  if (few) return few;
  return tf.tidy(() => {
    // (b aᵀ)ᵀ where that turns fewer values: a cache's block is far larger than a query.
    const turnsLess = a.size + tf.util.sizeFromShape(shape) < b.size;
    if (transposeB && !transposeA && turnsLess) return swapLast(stackedMatMul(b, swapLast(a)));
    // A product by the flags is 12 to 25 times slower there.
    const [left, right] = [transposeA ? swapLast(a) : a, transposeB ? swapLast(b) : b];
    // Of two matrices the backend keeps how it packed b.
    const pays = a.rank > 2 && rows >= FEWEST_ROWS && rows * inner * outer >= FEWEST_PRODUCTS;
    if (!pays) return tf.matMul(left, right);
    const stacked = runKernel(
      tf.reshape(left, [-1, rows, inner]),
      tf.reshape(right, [-1, inner, outer]),
      { transposeA: false, transposeB: false },
    );
    return tf.reshape(stacked, shape);
  });
}

function runKernel(
  a: tf.Tensor,
  b: tf.Tensor,
  attrs: { transposeA: boolean; transposeB: boolean },
): tf.Tensor {
  return tf.engine().runKernel(KERNEL, { a, b }, attrs) as tf.Tensor;
}

function swapLast(x: tf.Tensor): tf.Tensor {
  const axes = x.shape.map((_, i) => i);
  return tf.transpose(x, [...axes.slice(0, -2), x.rank - 1, x.rank - 2]);
}

/** On the first call: importing the package has no effect. */
function register(): void {
  registerTensorFlowMatMul(KERNEL);
  if (tf.getKernel(KERNEL, 'wasm')) return;
  tf.registerKernel({ kernelName: KERNEL, backendName: 'wasm', kernelFunc: multiplyPairs });
  tf.registerGradient({
    kernelName: KERNEL,
    inputsToSave: ['a', 'b'],
    gradFunc: (gradient, saved, attrs) => {
      const [a, b] = saved as [tf.Tensor, tf.Tensor];
      const dy = gradient as tf.Tensor;
      const { transposeA, transposeB } = attrs as Record<'transposeA' | 'transposeB', boolean>;
      return {
        // dA = dY Bᵀ and dB = Aᵀ dY, or their transposes.
        a: () =>
          transposeA
            ? stackedMatMul(b, dy, transposeB, true)
            : stackedMatMul(dy, b, false, !transposeB),
        b: () =>
          transposeB
            ? stackedMatMul(dy, a, true, transposeA)
            : stackedMatMul(a, dy, !transposeA, false),
      };
    },
  });
}

/** What the kernel uses of the backend, which is no dependency of this package. */
interface WasmBackend {
  getMemoryOffset(dataId: tf.DataId): number;
  /** With an offset, a tensor over memory that is there already. */
  makeOutput(shape: number[], dtype: 'float32', memoryOffset?: number): tf.TensorInfo;
  dataIdMap: { delete(dataId: tf.DataId): boolean; get(dataId: tf.DataId): { id: number } };
  wasm: {
    cwrap(name: string, returns: null, types: string[]): (...args: unknown[]) => void;
    tfjs: { disposeData(id: number): void };
  };
}

/** Arguments of the backend's own product: id, shape and rank of a and b, two flags, output id. */
const MAT_MUL_TYPES = 'number array number number array number number number number'.split(' ');

const multiplyPairs: tf.KernelFunc = ({ inputs, backend: anyBackend }) => {
  const backend = anyBackend as unknown as WasmBackend;
  const { a, b } = inputs as Record<'a' | 'b', tf.TensorInfo>;
  const [count, rows, inner] = a.shape as [number, number, number];
  const outer = b.shape[2]!;
  const product = backend.makeOutput([count, rows, outer], 'float32');
  const matMul = backend.wasm.cwrap(tf.BatchMatMul, null, MAT_MUL_TYPES);
  const [shapeA, shapeB] = [shapeBytes(1, rows, inner), shapeBytes(1, inner, outer)];
  const matrixOf = [
    matrixViews(backend, a),
    matrixViews(backend, b),
    matrixViews(backend, product),
  ] as const;
  for (let i = 0; i < count; i++) {
    const views = matrixOf.map((view) => view(i));
    const [idA, idB, idProduct] = views.map(({ dataId }) => backend.dataIdMap.get(dataId).id);
    matMul(idA, shapeA, 3, idB, shapeB, 3, 0, 0, idProduct);
    for (const { dataId } of views) forgetView(backend, dataId);
  }
  return product;
};

/** Tensors over the single matrices of a stack. They own no memory. */
function matrixViews(backend: WasmBackend, { dataId, shape }: tf.TensorInfo) {
  const start = backend.getMemoryOffset(dataId);
  const matrix = [1, ...shape.slice(1)];
  const bytes = 4 * tf.util.sizeFromShape(matrix);
  return (i: number) => backend.makeOutput(matrix, 'float32', start + i * bytes);
}

/** Drop a view, and what XNNPACK packed of it, but not the memory under it. */
function forgetView(backend: WasmBackend, dataId: tf.DataId): void {
  backend.wasm.tfjs.disposeData(backend.dataIdMap.get(dataId).id);
  backend.dataIdMap.delete(dataId);
}

function shapeBytes(...shape: number[]): Uint8Array {
  return new Uint8Array(Int32Array.from(shape).buffer);
}
