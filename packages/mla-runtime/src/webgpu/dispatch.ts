import type { WgslProgram } from './wgsl-program';
import { bindGroupOf, pipelineOf } from './wgsl-program';

/** A program with its buffers, ready to be encoded again and again. */
export interface Dispatch {
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  /** Workgroups; of attention those of one chunk. */
  groups: number;
  perChunk: boolean;
}

/** @param bound in the order of the program's bindings. */
export function dispatchOfProgram(
  device: GPUDevice,
  program: WgslProgram,
  bound: readonly GPUBuffer[],
  perChunk = false,
): Dispatch {
  const pipeline = pipelineOf(device, program);
  const bindGroup = bindGroupOf(device, pipeline, bound);
  return { pipeline, bindGroup, groups: program.groups, perChunk };
}
