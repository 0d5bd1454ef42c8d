/**
 * A compute program as it is handed to the device, and its compiled form. Sizes that do not change
 * in a session are constants of the source; those that change each step come from {@link STEP}.
 */

export interface WgslProgram {
  /** Names the source: it holds every value that is written into it. */
  key: string;
  code: string;
  /** Workgroups, where their number does not change from step to step. */
  groups: number;
}

/** Most workgroups of one dimension, of every device. */
const MAX_GROUPS = 65535;

/** What a step changes, the last binding of programs that read it; 12 words. */
export const STEP_WORDS = 12;
export const STEP = /* wgsl */ `
struct Step {
  stored : vec2<u32>, // tokens of each segment that are stored, the new one counted
  window : vec2<u32>, // tokens of each segment after those, which are exact
  chunks : vec4<u32>, // chunks of tokens: stored and window of the first segment, of the last
  slot : u32,         // of the new token, in the last segment
  packed : u32,       // the token to be stored; NOTHING if there is none
  temperature : f32,
  uniform_number : f32,
}`;
/** Of a step that stores no token. */
export const NOTHING = 0xffffffff;

/** Parameters of every entry point, and the number of its workgroup, which may lie on two axes. */
export const ENTRY = /* wgsl */ `
  @builtin(workgroup_id) group_id : vec3<u32>,
  @builtin(num_workgroups) group_count : vec3<u32>,
  @builtin(local_invocation_index) thread : u32`;
export const GROUP = 'let group = group_id.y * group_count.x + group_id.x;';

const compiled = new WeakMap<GPUDevice, Map<string, GPUComputePipeline>>();

/** The program's pipeline on a device, compiled once. */
export function pipelineOf(device: GPUDevice, { key, code }: WgslProgram): GPUComputePipeline {
  let pipelines = compiled.get(device);
  if (!pipelines) {
    pipelines = new Map();
    compiled.set(device, pipelines);
  }
  let pipeline = pipelines.get(key);
  if (!pipeline) {
    const module = device.createShaderModule({ code, label: key });
    const compute = { module, entryPoint: 'main' };
    pipeline = device.createComputePipeline({ layout: 'auto', compute, label: key });
    pipelines.set(key, pipeline);
  }
  return pipeline;
}

/** Spread workgroups over two axes where one does not hold them; a program drops those beyond. */
export function dispatchOf(groups: number): [number, number] {
  const x = Math.min(groups, MAX_GROUPS);
  return [x, Math.ceil(groups / Math.max(x, 1))];
}

/** Bind buffers in the order of the program's bindings. */
export function bindGroupOf(
  device: GPUDevice,
  pipeline: GPUComputePipeline,
  buffers: readonly GPUBuffer[],
): GPUBindGroup {
  return device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
}
