/** How kernels run programs on the backend, which is no dependency of this package. */
import type * as tf from '@tensorflow/tfjs-core';

/** What TensorFlow.js takes for a program of one thread an element of its output. */
interface Program {
  outputShape: number[];
  variableNames: string[];
  uniforms: string;
  shaderKey: string;
  workgroupSize: [number, number, number];
  dispatchLayout: { x: number[] };
  dispatch: [number, number, number];
  size: true;
  getUserCode(): string;
}

export interface WebGpuBackend {
  runWebGPUProgram(
    program: Program,
    inputs: tf.TensorInfo[],
    dtype: 'int32' | 'float32',
    uniforms: { type: 'int32'; data: number[] }[],
  ): tf.TensorInfo;
  disposeData(dataId: tf.DataId): boolean;
  incRef(dataId: tf.DataId): void;
}

export interface ElementProgram {
  /** Holds what is baked into the code. */
  key: string;
  shape: number[];
  dtype: 'int32' | 'float32';
  inputs: Record<string, tf.TensorInfo>;
  /** Integers that the code reads as `uniforms.name`. */
  integers: Record<string, number>;
  /** Functions, among them `fn element(i : i32)`, whose result is the element. */
  code: string;
}

const THREADS = 64;

/** Run a program that computes each element of its output alone. */
export function runElements(backend: WebGpuBackend, program: ElementProgram): tf.TensorInfo {
  const { key, shape, dtype, inputs, integers, code } = program;
  const size = shape.reduce((product, length) => product * length, 1);
  const uniforms = Object.keys(integers).map((name) => `${name} : i32,`);
  return backend.runWebGPUProgram(
    {
      outputShape: shape,
      variableNames: Object.keys(inputs),
      uniforms: uniforms.join(' '),
      shaderKey: `kvQuant ${key}`,
      workgroupSize: [THREADS, 1, 1],
      dispatchLayout: { x: [0] },
      dispatch: [Math.ceil(size / THREADS), 1, 1],
      size: true,
      getUserCode: () => `${code}
fn main(index : i32) {
  if (index < uniforms.size) { result[index] = element(index); }
}`,
    },
    Object.values(inputs),
    dtype,
    Object.values(integers).map((value) => ({ type: 'int32', data: [value] })),
  );
}
