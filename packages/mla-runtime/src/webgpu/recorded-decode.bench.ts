/**
 * What a decode step costs the host on webgpu, and its dispatches: encoded op by op, and recorded, by
 * turns. Times of the device are left out, since a software adapter's mean nothing.
 */
import { gaussian, openWebGpu } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { bench, describe } from 'vitest';
import { loadDecoder } from '../load-decoder';
import {
  type RandomDecoderOptions,
  randomConfig,
  randomWeights,
  readerOf,
} from '../random-weights.reference';
import { RecordedDecode } from './recorded-decode';

const LAYERS = 8;
const FORMS: [string, RandomDecoderOptions][] = [
  ['over latents of each modality', { decoupled: true, numHiddenLayers: LAYERS }],
  ['over keys and values', { form: 'original', numHiddenLayers: LAYERS }],
];

/** Both ways to start a step over a few tokens, and how to wait until the device has done so. */
async function prepare(options: RandomDecoderOptions) {
  const { device } = await openWebGpu();
  await tf.setBackend('webgpu');
  const config = randomConfig(options);
  const decoder = await loadDecoder(config, readerOf(randomWeights(config, options, gaussian)));
  const cache = decoder.createCache(1);
  let position = 0;
  const opByOp = async () => {
    decoder.decode(Int32Array.of(1), Int32Array.of(position++), cache).dispose();
  };
  for (let t = 0; t < 8; t++) await opByOp();
  const decode = await RecordedDecode.record(decoder, cache, { maxTokens: 4096 });
  await decode.step(Int32Array.of(position), 1);
  const recorded = async () => {
    await decode.step(Int32Array.of(position));
  };
  const { sizeBytes } = decode;
  return { opByOp, recorded, sizeBytes, idle: () => device.queue.onSubmittedWorkDone() };
}

/** Milliseconds of a step before its first wait. */
async function hostTime(start: () => Promise<unknown>, idle: () => Promise<unknown>) {
  const begun = performance.now();
  const step = start();
  const time = performance.now() - begun;
  await step;
  await idle();
  return time;
}

describe.each(FORMS)(`a step of ${LAYERS} layers %s`, async (form, options) => {
  const { opByOp, recorded, sizeBytes, idle } = await prepare(options);
  const dispatch = GPUComputePassEncoder.prototype.dispatchWorkgroups;
  let dispatches = 0;
  GPUComputePassEncoder.prototype.dispatchWorkgroups = function (...groups) {
    dispatches++;
    return dispatch.apply(this, groups);
  };
  const [times, counts] = [{ opByOp: [] as number[], recorded: [] as number[] }, [0, 0]];
  for (let i = 0; i < 60; i++) {
    dispatches = 0;
    times.opByOp.push(await hostTime(opByOp, idle));
    counts[0] = dispatches;
    dispatches = 0;
    times.recorded.push(await hostTime(recorded, idle));
    counts[1] = dispatches;
  }
  GPUComputePassEncoder.prototype.dispatchWorkgroups = dispatch;
  const median = (list: number[]) => list.slice(20).sort((a, b) => a - b)[20]!; // the rest warms up
  const [own, other] = [median(times.recorded), median(times.opByOp)];
  const layer = (ms: number) => `${((1e3 * ms) / LAYERS).toFixed(0)} us a layer`;
  console.log(`${form}, op by op: ${layer(other)}, ${counts[0]} dispatches a step`);
  console.log(
    `${form}, recorded: ${layer(own)}, ${counts[1]} dispatches, ${(other / own).toFixed(0)} times less; ${sizeBytes} bytes on the device`,
  );
  bench('recorded, with the device', recorded, { time: 500 });
});
