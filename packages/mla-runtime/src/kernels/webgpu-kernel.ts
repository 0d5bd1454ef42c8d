/** Kernels of TensorFlow.js on webgpu, each one program. */
import * as tf from '@tensorflow/tfjs-core';

/** A program as the backend takes it. */
interface Program {
  outputShape: number[];
  variableNames: string[];
}

export interface ProgramRun {
  program: Program;
  /** In the order of the program's variables. */
  inputs: tf.TensorInfo[];
  uniforms?: { type: 'int32' | 'float32'; data: number[] }[];
}

/** What a kernel uses of the backend, which is no dependency of this package. */
interface WebGpuBackend {
  runWebGPUProgram(
    program: Program,
    inputs: tf.TensorInfo[],
    dtype: 'float32',
    uniforms?: ProgramRun['uniforms'],
  ): tf.TensorInfo;
}

/**
 * Register a kernel once. Call it before each run of one: importing the package has no effect.
 * @param runOf what to run for inputs and attributes.
 */
export function registerWebGpuKernel(
  kernelName: string,
  runOf: (inputs: tf.NamedTensorInfoMap, attrs: tf.NamedAttrMap) => ProgramRun,
): void {
  if (tf.getKernel(kernelName, 'webgpu')) return;
  tf.registerKernel({
    kernelName,
    backendName: 'webgpu',
    kernelFunc: ({ inputs, attrs, backend }) => {
      const run = runOf(inputs, attrs as tf.NamedAttrMap);
      return (backend as unknown as WebGpuBackend).runWebGPUProgram(
        run.program,
        run.inputs,
        'float32',
        run.uniforms,
      );
    },
  });
}

/** What programs have alike: inputs by the value, and work groups along one axis. */
export function programForm(variableNames: string[], groups: number, threads: number) {
  return {
    variableNames,
    variableComponents: variableNames.map(() => 1),
    outputComponent: 1,
    workgroupSize: [threads, 1, 1] as [number, number, number],
    dispatchLayout: { x: [0] },
    dispatch: [groups, 1, 1] as [number, number, number],
  };
}
