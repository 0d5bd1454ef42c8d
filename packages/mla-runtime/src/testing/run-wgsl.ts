import { bindGroupOf, dispatchOf, pipelineOf, type WgslProgram } from '../webgpu/wgsl-program';

type Values = Float32Array | Uint32Array | Int32Array;

export interface RunWgslOptions {
  /** The words of the place, for programs that read a cache. */
  place?: Uint32Array;
  /** The words of all rows' steps, for programs that read them. */
  step?: Uint32Array;
  /** Workgroups of a row, where the program does not say. */
  groups?: number;
  /** Of the batch. Default 1. */
  rows?: number;
}

/**
 * Run a program once.
 * @param output what it writes to holds before.
 * @returns the output's words as f32.
 */
export async function runWgsl(
  device: GPUDevice,
  program: WgslProgram,
  output: Values,
  inputs: readonly Values[],
  { place, step, groups = program.groups, rows }: RunWgslOptions = {},
): Promise<Float32Array> {
  const own: GPUBuffer[] = [];
  const upload = (values: Values, usage: number) => {
    const buffer = device.createBuffer({ size: Math.max(values.byteLength, 4), usage });
    device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
    own.push(buffer);
    return buffer;
  };
  const { STORAGE, COPY_DST, COPY_SRC, UNIFORM, MAP_READ } = GPUBufferUsage;
  const result = upload(output, STORAGE | COPY_DST | COPY_SRC);
  const buffers = [result, ...inputs.map((values) => upload(values, STORAGE | COPY_DST))];
  if (place) buffers.push(upload(place, UNIFORM | COPY_DST));
  if (step) buffers.push(upload(step, STORAGE | COPY_DST));
  const pipeline = pipelineOf(device, program);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroupOf(device, pipeline, buffers));
  pass.dispatchWorkgroups(...dispatchOf(groups, rows));
  pass.end();
  const staging = device.createBuffer({ size: result.size, usage: MAP_READ | COPY_DST });
  own.push(staging);
  encoder.copyBufferToBuffer(result, 0, staging, 0, result.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(staging.getMappedRange().slice(0));
  for (const buffer of own) buffer.destroy();
  return values;
}
