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

/** What a step changes for a row of a batch; 16 words. */
export interface StepValues {
  stored: readonly number[];
  window: readonly number[];
  chunks: readonly number[];
  first: readonly number[];
  slot: number;
  packed: number;
  temperature: number;
  uniform: number;
}

export const STEP_WORDS = 16;
const STEP = /* wgsl */ `
struct Step {
  stored : vec2<u32>, // tokens of each segment that are stored, the new one counted
  window : vec2<u32>, // tokens of each segment after those, which are exact
  chunks : vec4<u32>, // chunks of tokens: stored and window of the first segment, of the last
  first : vec2<u32>,  // the token that the tail of each segment begins with
  slot : u32,         // of the new token, in the last segment
  packed : u32,       // the token to be stored; NOTHING if there is none
  temperature : f32,
  uniform_number : f32,
}`;
/** The steps of all rows, the last binding of programs that read them; `step` is a row's, once set. */
export function stepsAt(binding: number): string {
  return `${STEP}
@group(0) @binding(${binding}) var<storage, read> steps : array<Step>;
var<private> step : Step;
`;
}

/** The words of a `Step`. */
export function stepWords(values: Partial<StepValues>): Uint32Array {
  const { stored = [], window = [], chunks = [], first = [] } = values;
  const { slot = 0, packed = NOTHING, temperature = 1, uniform = 0 } = values;
  const words = new Uint32Array(STEP_WORDS);
  words.set(stored, 0);
  words.set(window, 2);
  words.set(chunks, 4);
  words.set(first, 8);
  words.set([slot, packed], 10);
  new Float32Array(words.buffer).set([temperature, uniform], 12);
  return words;
}

/** Of a step that stores no token. */
export const NOTHING = 0xffffffff;

/**
 * Parameters of every entry point, its row of the batch, and the number of its workgroup among those
 * of the row, which may lie on two axes. Rows lie on the first axis, so that those that read the same
 * weights run at about the same time.
 */
export const ENTRY = /* wgsl */ `
  @builtin(workgroup_id) group_id : vec3<u32>,
  @builtin(num_workgroups) group_count : vec3<u32>,
  @builtin(local_invocation_index) thread : u32`;
export const GROUP = `let row = group_id.x;
  let group = group_id.z * group_count.y + group_id.y;`;

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

/**
 * Workgroups of all rows, spread over two axes where one does not hold those of a row; a program drops
 * those beyond.
 */
export function dispatchOf(groups: number, rows = 1): [number, number, number] {
  const y = Math.min(groups, MAX_GROUPS);
  return [rows, y, Math.ceil(groups / Math.max(y, 1))];
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
