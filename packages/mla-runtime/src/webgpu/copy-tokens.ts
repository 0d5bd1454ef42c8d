/** Copying tokens between tensors and a flat cache on the device. */
import * as tf from '@tensorflow/tfjs-core';

/** Where rows of words lie in a buffer, [heads, capacity, row]. */
export interface TokenArea {
  start: number;
  capacity: number;
  row: number;
}

/**
 * Copy tokens [from, to) of a tensor [..., heads, t, row] to those from `at` on of an area.
 * @param tensor of 32-bit values; stays the caller's.
 */
export function copyTokens(
  tensor: tf.Tensor,
  [from, to]: readonly [number, number],
  buffer: GPUBuffer,
  { start, capacity, row }: TokenArea,
  at: number,
  device: GPUDevice,
): void {
  if (tensor.size === 0 || to <= from) return;
  const [heads, tokens] = tensor.shape.slice(-3) as [number, number];
  const source = tensor.dataToGPU();
  const encoder = device.createCommandEncoder();
  for (let head = 0; head < heads; head++) {
    const first = 4 * (head * tokens + from) * row;
    const target = 4 * (start + (head * capacity + at) * row);
    encoder.copyBufferToBuffer(source.buffer!, first, buffer, target, 4 * (to - from) * row);
  }
  device.queue.submit([encoder.finish()]);
  source.tensorRef.dispose();
}

/**
 * Tokens of an area of f32 as a tensor.
 * @param scratch takes up a buffer to destroy once the backend has submitted.
 * @returns [1, heads, count, row]; the caller disposes it.
 */
export function tensorOfTokens(
  buffer: GPUBuffer,
  { start, capacity, row }: TokenArea,
  heads: number,
  [first, count]: readonly [number, number],
  device: GPUDevice,
  scratch: GPUBuffer[],
): tf.Tensor4D {
  const shape: [number, number, number, number] = [1, heads, count, row];
  if (row === 0) return tf.zeros(shape);
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const size = 4 * heads * count * row;
  const own = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
  scratch.push(own);
  const encoder = device.createCommandEncoder();
  for (let head = 0; head < heads; head++) {
    const from = 4 * (start + (head * capacity + first) * row);
    encoder.copyBufferToBuffer(buffer, from, own, head * (size / heads), size / heads);
  }
  device.queue.submit([encoder.finish()]);
  return tf.tensor({ buffer: own }, shape, 'float32');
}
