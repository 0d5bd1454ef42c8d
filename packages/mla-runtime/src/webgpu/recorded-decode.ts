/**
 * Decoding on a WebGPU device with everything recorded: pipelines and bind groups are made once, and
 * a token is one submit of at most 8 dispatches a layer, with nothing allocated on the device and
 * nothing read back but the token. Dense weights are copied, and may be narrowed to f16, int8 or int4;
 * those that were loaded packed are used where they are, so the decoder must outlive the recording.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { DecoderCache } from '../cache/decoder-cache';
import type { Decoder } from '../decoder';
import { NO_TOKEN, pickToken } from '../kernels/pick-token';
import { currentDevice, throwFailure, watchDevice } from './device-failure';
import { type Dispatch, dispatchOfProgram } from './dispatch';
import { type DecoderRecording, recordDecoder } from './record-decoder';
import { RecordedStep } from './recorded-step';
import type { WeightFormat } from './weight-format';

/** Options of `RecordedDecode`. */
export interface RecordOptions {
  /** Tokens that may be decoded, for which the cache has room. Default 256. */
  maxTokens?: number;
  /** How weights that are dense are kept. Default f32, exact. */
  weights?: WeightFormat;
  /** Inputs that share a scale, of int8 and int4; a multiple of 8. Default 32. */
  groupSize?: number;
  /** Draw from this many of the largest logits. Default 1: greedy. */
  topK?: number;
  /** Above 0. Default 1. */
  temperature?: number;
  /** Uniform numbers in [0, 1). Needed when `topK` is above 1. */
  random?: () => number;
}

/**
 * Decodes over a cache on WebGPU by passes that are recorded once and submitted for every token.
 */
export class RecordedDecode {
  private constructor(
    private readonly vocabSize: number,
    private readonly recording: DecoderRecording,
    private readonly recorded: RecordedStep,
    private readonly pick: Dispatch,
    private readonly options: ResolvedOptions,
  ) {}

  /**
   * Record the decode step of a decoder over what a cache holds, which is copied.
   * @param cache of one row, filled by a prefill.
   * @throws TypeError when webgpu is not the current backend, or layers cache in different segments;
   * RangeError for a cache of several rows or in a form that is not read, or bad options.
   */
  static async record(
    decoder: Decoder,
    cache: DecoderCache,
    options: RecordOptions = {},
  ): Promise<RecordedDecode> {
    const device = currentDevice();
    if (!device) {
      throw new TypeError(
        `RecordedDecode: the backend must be webgpu, got ${tf.getBackend()}. Call chooseBackend('webgpu') first.`,
      );
    }
    const resolved = resolve(cache, options);
    const { topK, maxTokens } = resolved;
    const { vocabSize } = decoder.config;
    watchDevice(device);
    const recording = await recordDecoder(decoder, device, resolved);
    try {
      const { token, logits, step } = recording;
      const bound = topK > 1 ? [token, logits, step.step] : [token, logits];
      const pick = dispatchOfProgram(device, pickToken(vocabSize, topK), bound);
      const bind = { maxTokens, readBytes: 4 };
      const recorded = RecordedStep.bind(decoder, recording, cache, bind);
      return new RecordedDecode(vocabSize, recording, recorded, pick, resolved);
    } catch (error) {
      recording.buffers.dispose();
      throw error;
    }
  }

  /** Dispatches of one token. */
  get dispatches(): number {
    return this.recorded.dispatchCount + 1;
  }

  /** Bytes on the device: weights, cache and what passes between dispatches. */
  get sizeBytes(): number {
    return this.recording.buffers.sizeBytes + this.recorded.sizeBytes;
  }

  /**
   * Decode one token.
   * @param positionIds [1], or [3] for M-RoPE.
   * @param token its id; by default the one that the last step has chosen.
   * @returns the token that follows.
   * @throws RangeError for a token outside the vocabulary, when the cache is full or logits are NaN;
   * Error with what the device reports.
   */
  async step(positionIds: Int32Array, token?: number): Promise<number> {
    const { vocabSize, pick, recording } = this;
    if (token !== undefined && !(Number.isInteger(token) && token >= 0 && token < vocabSize)) {
      throw new RangeError(
        `RecordedDecode: token must be an integer in [0, ${vocabSize}), got ${token}.`,
      );
    }
    const { temperature, random } = this.options;
    const tokens = token === undefined ? undefined : Int32Array.of(token);
    const output = { source: recording.token, pick, temperature, uniform: random?.() ?? 0 };
    const [next] = new Uint32Array(await this.recorded.run(positionIds, tokens, output));
    if (next === NO_TOKEN) {
      throw new RangeError('RecordedDecode: logits must be numbers, got NaN. The model diverged.');
    }
    return next!;
  }

  /** Logits that chose the last token, [vocabulary]. */
  async logits(): Promise<Float32Array> {
    const { logits, buffers } = this.recording;
    const { MAP_READ, COPY_DST } = GPUBufferUsage;
    const staging = buffers.device.createBuffer({ size: logits.size, usage: MAP_READ | COPY_DST });
    const encoder = buffers.device.createCommandEncoder();
    encoder.copyBufferToBuffer(logits, 0, staging, 0, logits.size);
    buffers.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const values = new Float32Array(staging.getMappedRange().slice(0));
    staging.destroy();
    throwFailure(buffers.device);
    return values;
  }

  /** Frees what was recorded and its buffers. */
  dispose(): void {
    this.recorded.dispose();
    this.recording.buffers.dispose();
  }
}

type ResolvedOptions = Required<Omit<RecordOptions, 'random'>> & Pick<RecordOptions, 'random'>;

function resolve(cache: DecoderCache, options: RecordOptions): ResolvedOptions {
  const { maxTokens = 256, weights = 'f32', groupSize = 32 } = options;
  const { topK = 1, temperature = 1, random } = options;
  if (cache.batch !== 1) {
    throw new RangeError(`RecordedDecode: the cache must have one row, got ${cache.batch}.`);
  }
  if (!Number.isSafeInteger(topK) || topK < 1 || topK > 256) {
    throw new RangeError(`RecordedDecode: topK must be an integer from 1 to 256, got ${topK}.`);
  }
  if (!(temperature > 0 && temperature < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`RecordedDecode: temperature must be positive, got ${temperature}.`);
  }
  if (topK > 1 && !random) {
    throw new TypeError('RecordedDecode: expected `random` with a topK above 1.');
  }
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) {
    throw new RangeError(`RecordedDecode: maxTokens must be a positive integer, got ${maxTokens}.`);
  }
  return { maxTokens, weights, groupSize, topK, temperature, random };
}
