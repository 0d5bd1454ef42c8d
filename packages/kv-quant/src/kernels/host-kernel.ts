/**
 * Kernels that are loops over typed arrays, run in this process: in place on the heap of wasm and
 * on the arrays of cpu; on tensorflow its values are copied out and the result is handed back (which
 * is 10 times faster than the twin of int32 ops there). They are registered on an op's first call:
 * importing the package has no effect.
 */
import * as tf from '@tensorflow/tfjs-core';

export type HostArray = Float32Array | Int32Array;

/** Shapes of the outputs, and what fills them. */
export interface HostWork {
  outputs: readonly { shape: number[]; dtype: 'float32' | 'int32' }[];
  /** Fill the outputs, whose values are undefined, from the inputs (int32 or float32, as made). */
  run(inputs: Record<string, HostArray>, outputs: HostArray[]): void;
}

/** A kernel that is a loop in this process: what it will give, and how. */
export type HostKernel = (inputs: tf.NamedTensorInfoMap, attrs: tf.NamedAttrMap) => HostWork;

/** What the kernels use of the backends; they are no dependencies of this package. */
interface WasmBackend {
  getMemoryOffset(dataId: tf.DataId): number;
  makeOutput(shape: number[], dtype: tf.DataType): tf.TensorInfo;
  typedArrayFromHeap(tensor: tf.TensorInfo): HostArray;
}

interface ArrayBackend {
  readSync(dataId: tf.DataId): ArrayLike<number>;
  write(values: HostArray, shape: number[], dtype: tf.DataType): tf.DataId;
}

type Runner = (work: HostWork, inputs: tf.NamedTensorInfoMap, backend: unknown) => tf.TensorInfo[];

const RUNNERS: Record<string, Runner> = {
  cpu: (work, inputs, backend) => runOnArrays(work, inputs, backend as ArrayBackend),
  tensorflow: (work, inputs, backend) => runOnArrays(work, inputs, backend as ArrayBackend),
  wasm: (work, inputs, backend) => runOnHeap(work, inputs, backend as WasmBackend),
};

/** Register `kernel` under `kernelName` on these backends, unless something is registered there. */
export function registerHostKernel(kernelName: string, kernel: HostKernel): void {
  for (const [backendName, run] of Object.entries(RUNNERS)) {
    if (tf.getKernel(kernelName, backendName)) continue;
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs, backend }) => run(kernel(inputs, attrs ?? {}), inputs, backend),
    });
  }
}

function runOnHeap(work: HostWork, inputs: tf.NamedTensorInfoMap, backend: WasmBackend) {
  const outputs = work.outputs.map(({ shape, dtype }) => backend.makeOutput(shape, dtype));
  const view = (tensor: tf.TensorInfo) => backend.typedArrayFromHeap(tensor);
  // Asking for the offset of another backend's tensor copies it here. Views are taken after all
  // allocations: growing the heap leaves older ones without memory.
  for (const tensor of Object.values(inputs)) backend.getMemoryOffset(tensor!.dataId);
  work.run(viewAll(inputs, view), outputs.map(view));
  return outputs;
}

function runOnArrays(work: HostWork, inputs: tf.NamedTensorInfoMap, backend: ArrayBackend) {
  const read = ({ dataId, dtype }: tf.TensorInfo) => {
    // A float32 tensor that cpu cast from int32 still holds an Int32Array.
    const Kind = dtype === 'float32' ? Float32Array : Int32Array;
    const values = backend.readSync(dataId);
    return values instanceof Kind ? values : Kind.from(values);
  };
  const outputs = work.outputs.map(({ shape, dtype }) => {
    const size = tf.util.sizeFromShape(shape);
    return dtype === 'float32' ? new Float32Array(size) : new Int32Array(size);
  });
  work.run(viewAll(inputs, read), outputs);
  return work.outputs.map(({ shape, dtype }, i) => ({
    dataId: backend.write(outputs[i]!, shape, dtype),
    shape,
    dtype,
  }));
}

function viewAll(inputs: tf.NamedTensorInfoMap, view: (tensor: tf.TensorInfo) => HostArray) {
  return Object.fromEntries(Object.entries(inputs).map(([name, info]) => [name, view(info!)]));
}
