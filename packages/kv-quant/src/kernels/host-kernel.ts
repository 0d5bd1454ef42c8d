/**
 * Kernels that are loops over typed arrays. The tensors of the backends cpu and wasm are typed
 * arrays of this process (on wasm views of its heap), so such a kernel reads and writes them in
 * place. They are registered on an op's first call: importing the package has no effect.
 */
import * as tf from '@tensorflow/tfjs-core';

export interface HostMemory {
  /** A new tensor; its values are undefined until they are written. */
  allocate(shape: number[], dtype: 'float32' | 'int32'): tf.TensorInfo;
  /** Values of float32 tensors. Take views after all allocations: the heap of wasm moves. */
  floats(tensor: tf.TensorInfo): Float32Array;
  ints(tensor: tf.TensorInfo): Int32Array;
}

export type HostKernel = (
  memory: HostMemory,
  inputs: tf.NamedTensorInfoMap,
  attrs: tf.NamedAttrMap,
) => tf.TensorInfo[];

/** What the kernels use of the backends; they are no dependencies of this package. */
interface WasmBackend {
  makeOutput(shape: number[], dtype: tf.DataType): tf.TensorInfo;
  typedArrayFromHeap(tensor: tf.TensorInfo): tf.TypedArray;
}

interface CpuBackend {
  makeTensorInfo(shape: number[], dtype: tf.DataType, values: tf.TypedArray): tf.TensorInfo;
  readSync(dataId: tf.DataId): tf.TypedArray;
}

const MEMORIES: Record<string, (backend: unknown) => HostMemory> = {
  cpu: (backend) => cpuMemory(backend as CpuBackend),
  wasm: (backend) => wasmMemory(backend as WasmBackend),
};

/** Register `kernel` under `kernelName` on cpu and wasm, unless something is registered there. */
export function registerHostKernel(kernelName: string, kernel: HostKernel): void {
  for (const [backendName, memory] of Object.entries(MEMORIES)) {
    if (tf.getKernel(kernelName, backendName)) continue;
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs, backend }) => kernel(memory(backend), inputs, attrs ?? {}),
    });
  }
}

function wasmMemory(backend: WasmBackend): HostMemory {
  return {
    allocate: (shape, dtype) => backend.makeOutput(shape, dtype),
    floats: (tensor) => backend.typedArrayFromHeap(tensor) as Float32Array,
    ints: (tensor) => backend.typedArrayFromHeap(tensor) as Int32Array,
  };
}

function cpuMemory(backend: CpuBackend): HostMemory {
  return {
    allocate: (shape, dtype) => {
      const size = tf.util.sizeFromShape(shape);
      const values = dtype === 'float32' ? new Float32Array(size) : new Int32Array(size);
      return backend.makeTensorInfo(shape, dtype, values);
    },
    floats: ({ dataId }) => {
      // A cast from int32 costs cpu nothing: the float32 tensor keeps the Int32Array.
      const values = backend.readSync(dataId);
      return values instanceof Float32Array ? values : Float32Array.from(values);
    },
    ints: ({ dataId }) => backend.readSync(dataId) as Int32Array,
  };
}
