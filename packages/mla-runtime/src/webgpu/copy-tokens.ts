/** Copying tokens between tensors and a flat cache on the device. */
import * as tf from '@tensorflow/tfjs-core';
import type { SlotRun } from './slot-runs';

/** Where rows of words lie in a buffer, [B, heads, capacity, words]. */
export interface TokenArea {
  start: number;
  capacity: number;
  /** Of a token. */
  words: number;
  /** Of all that a row of the batch has in the buffer. */
  rowWords: number;
}

/**
 * Copy runs of tokens of a tensor [B, heads, t, words] to an area.
 * @param tensor of 32-bit values; stays the caller's.
 */
export function copyTokens(
  tensor: tf.Tensor,
  runs: readonly SlotRun[],
  buffer: GPUBuffer,
  { start, capacity, words, rowWords }: TokenArea,
  device: GPUDevice,
): void {
  if (tensor.size === 0 || runs.length === 0) return;
  const [heads, tokens] = tensor.shape.slice(-3) as [number, number];
  const source = tensor.dataToGPU();
  const encoder = device.createCommandEncoder();
  for (const { row, from, count, to } of runs) {
    for (let head = 0; head < heads; head++) {
      const first = 4 * ((row * heads + head) * tokens + from) * words;
      const target = 4 * (row * rowWords + start + (head * capacity + to) * words);
      encoder.copyBufferToBuffer(source.buffer!, first, buffer, target, 4 * count * words);
    }
  }
  device.queue.submit([encoder.finish()]);
  source.tensorRef.dispose();
}

/**
 * As many tokens of each row of an area of f32 as a tensor.
 * @param firsts [B], the first token of each row.
 * @param scratch takes up a buffer to destroy once the backend has submitted.
 * @returns [B, heads, count, words]; the caller disposes it.
 */
export function tensorOfTokens(
  buffer: GPUBuffer,
  { start, capacity, words, rowWords }: TokenArea,
  heads: number,
  firsts: readonly number[],
  count: number,
  device: GPUDevice,
  scratch: GPUBuffer[],
): tf.Tensor4D {
  const shape: [number, number, number, number] = [firsts.length, heads, count, words];
  if (words === 0) return tf.zeros(shape);
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const part = 4 * count * words;
  const size = firsts.length * heads * part;
  const own = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
  scratch.push(own);
  const encoder = device.createCommandEncoder();
  for (const [row, first] of firsts.entries()) {
    for (let head = 0; head < heads; head++) {
      const from = 4 * (row * rowWords + start + (head * capacity + first) * words);
      encoder.copyBufferToBuffer(buffer, from, own, (row * heads + head) * part, part);
    }
  }
  device.queue.submit([encoder.finish()]);
  return tf.tensor({ buffer: own }, shape, 'float32');
}
