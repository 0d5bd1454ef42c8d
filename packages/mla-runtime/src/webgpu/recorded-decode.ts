/**
 * Decoding on a WebGPU device with everything recorded: pipelines and bind groups are made once, and
 * a token is one submit of at most 8 dispatches a layer, with nothing allocated on the device and
 * nothing read back but the token. Dense weights are copied, and may be narrowed to f16, int8 or int4;
 * those that were loaded packed are used where they are, so the decoder must outlive the recording.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Segment } from '../attention/attention';
import type { DecoderCache } from '../cache/decoder-cache';
import type { Decoder } from '../decoder';
import { CHUNK, mostChunks, partialSize } from '../kernels/attend-latents';
import { lookupRow } from '../kernels/lookup-row';
import { NO_TOKEN, pickToken } from '../kernels/pick-token';
import { type EmbeddingTable, isTensor } from '../lookup-embeddings';
import type { DeviceMatrix } from '../packed/device-matrix';
import { rotaryAngles } from '../rotary';
import { DeviceBuffers } from './device-buffers';
import { currentDevice, throwFailure, watchDevice } from './device-failure';
import { type LatentShape, latentLayout, queryLayout } from './latent-shape';
import {
  type Dispatch,
  dispatchOfProgram,
  floats,
  latentFolders,
  latentShapeOf,
  recordLayer,
  recordLinear,
  type StepBuffers,
} from './record-layer';
import type { WeightFormat } from './weight-format';
import type { WeightParts } from './weight-parts';
import { dispatchOf, STEP_WORDS } from './wgsl-program';

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

interface Parts {
  buffers: DeviceBuffers;
  dispatches: readonly Dispatch[];
  step: StepBuffers;
  token: GPUBuffer;
  logits: GPUBuffer;
  staging: GPUBuffer;
  /** Tokens of each segment so far, and the room of the last. */
  lengths: number[];
  capacity: number;
}

export class RecordedDecode {
  private readonly words = new Uint32Array(STEP_WORDS);
  private readonly numbers = new Float32Array(this.words.buffer);
  private readonly angles: Float32Array<ArrayBuffer>;

  private constructor(
    private readonly decoder: Decoder,
    private readonly parts: Parts,
    private readonly options: ResolvedOptions,
  ) {
    this.angles = new Float32Array(decoder.config.headDim);
  }

  /**
   * Record the decode step of a decoder over what a cache holds, which is copied.
   * @param cache of one row, filled by a prefill, of f32.
   * @throws TypeError when webgpu is not the current backend, or a layer caches no latents;
   * RangeError for a cache of several rows or of packed vectors, or bad options.
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
    watchDevice(device);
    const buffers = new DeviceBuffers(device);
    try {
      const parts = await recordParts(decoder, cache, buffers, resolved);
      throwFailure(device);
      return new RecordedDecode(decoder, parts, resolved);
    } catch (error) {
      buffers.dispose();
      throw error;
    }
  }

  /** Dispatches of one token. */
  get dispatches(): number {
    return this.parts.dispatches.length;
  }

  /** Bytes on the device: weights, cache and what passes between dispatches. */
  get sizeBytes(): number {
    return this.parts.buffers.sizeBytes;
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
    const { buffers, staging } = this.parts;
    const { device } = buffers;
    const { vocabSize } = this.decoder.config;
    if (token !== undefined && !(Number.isInteger(token) && token >= 0 && token < vocabSize)) {
      throw new RangeError(
        `RecordedDecode: token must be an integer in [0, ${vocabSize}), got ${token}.`,
      );
    }
    this.submit(positionIds, token);
    try {
      await staging.mapAsync(GPUMapMode.READ);
    } catch (error) {
      throwFailure(device, error);
      throw error;
    }
    const next = new Uint32Array(staging.getMappedRange())[0]!;
    staging.unmap();
    throwFailure(device);
    if (next === NO_TOKEN) {
      throw new RangeError('RecordedDecode: logits must be numbers, got NaN. The model diverged.');
    }
    return next;
  }

  /** Logits that chose the last token, [vocabulary]. */
  async logits(): Promise<Float32Array> {
    const { buffers, logits } = this.parts;
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

  dispose(): void {
    this.parts.buffers.dispose();
  }

  /** Write what the step changes, and encode all dispatches into one submit. */
  private submit(positionIds: Int32Array, token: number | undefined): void {
    const { buffers, dispatches, step, staging, token: chosen } = this.parts;
    const { queue } = buffers.device;
    const chunks = this.prepare(positionIds);
    queue.writeBuffer(step.step, 0, this.words);
    queue.writeBuffer(step.angles, 0, this.angles);
    if (token !== undefined) queue.writeBuffer(chosen, 0, Uint32Array.of(token));
    const encoder = buffers.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const { pipeline, bindGroup, groups, perChunk } of dispatches) {
      const [x, y] = dispatchOf(perChunk ? groups * chunks : groups);
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(x, y);
    }
    pass.end();
    encoder.copyBufferToBuffer(chosen, 0, staging, 0, 4);
    queue.submit([encoder.finish()]);
  }

  /** @returns the chunks of all segments. */
  private prepare(positionIds: Int32Array): number {
    const { lengths, capacity } = this.parts;
    const { config } = this.decoder;
    const last = lengths.length - 1;
    if (lengths[last]! >= capacity) {
      throw new RangeError(
        `RecordedDecode: the cache is full at ${capacity} tokens of its last segment. Record with a larger maxTokens.`,
      );
    }
    const { cos, sin } = rotaryAngles(positionIds, 1, config); // throws before anything changes
    this.angles.set(cos);
    this.angles.set(sin, cos.length);
    const slot = lengths[last]!;
    lengths[last] = slot + 1;
    const chunks = lengths.map((length) => Math.ceil(length / CHUNK));
    this.words.set([lengths[0]!, lengths[1] ?? 0, chunks[0]!, chunks[1] ?? 0, slot]);
    const { temperature, random } = this.options;
    this.numbers[5] = temperature;
    this.numbers[6] = random?.() ?? 0;
    return chunks[0]! + (chunks[1] ?? 0);
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

async function recordParts(
  decoder: Decoder,
  cache: DecoderCache,
  buffers: DeviceBuffers,
  { maxTokens, weights, groupSize, topK }: ResolvedOptions,
): Promise<Parts> {
  const { config, layers } = decoder;
  const segments = segmentsOf(layers);
  const lengths = segments.map((segment) => cache.slotTable(segment).length);
  const capacities = lengths.map((length, m) =>
    m === lengths.length - 1 ? length + maxTokens : length,
  );
  const shapes = layers.map((layer, i) => latentShapeOf(config, layer, i, capacities));
  const step = stepBuffers(decoder, shapes, buffers);
  const token = buffers.storage(1);
  const logits = buffers.storage(config.vocabSize);
  const staging = buffers.create(4, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  const { vocabSize, hiddenSize, rmsNormEps } = config;
  const table = await tableParts(decoder.embedTokens, buffers);
  const dispatches = table.parts.map(({ buffers: rows, ...part }) => {
    const lookup = lookupRow({ ...table, ...part, width: hiddenSize });
    return dispatchOfProgram(buffers.device, lookup, [step.hidden, token, ...rows], false);
  });
  const options = { weights, groupSize };
  for (const [i, layer] of layers.entries()) {
    const shape = shapes[i]!;
    const own = buffers.storage(latentLayout(shape).size);
    copyCache(cache, i, segments, shape, own, buffers.device);
    dispatches.push(...(await recordLayer(config, layer, i, shape, own, step, buffers, options)));
  }
  const norm = buffers.upload(await floats(decoder.norm));
  const part = { normEps: rmsNormEps };
  dispatches.push(
    ...(await recordLinear(buffers, decoder.lmHead, options, part, logits, step.hidden, [norm])),
  );
  const bound = topK > 1 ? [token, logits, step.step] : [token, logits];
  dispatches.push(dispatchOfProgram(buffers.device, pickToken(vocabSize, topK), bound, false));
  const capacity = capacities.at(-1)!;
  return { buffers, dispatches, step, token, logits, staging, lengths, capacity };
}

/** Embeddings to look up in: those that are packed as they are, others in f32. */
async function tableParts(table: EmbeddingTable, buffers: DeviceBuffers): Promise<WeightParts> {
  if (!isTensor(table)) return table as DeviceMatrix;
  const part = {
    first: 0,
    outputs: table.shape[0],
    buffers: [buffers.upload(await floats(table))],
  };
  return { format: 'f32', groupSize: 0, parts: [part] };
}

/** @throws TypeError when layers keep their tokens in different segments. */
function segmentsOf(layers: Decoder['layers']): readonly Segment[] {
  const all = layers.map((layer) => latentFolders(layer).join());
  const other = all.findIndex((folders) => folders !== all[0]);
  if (other >= 0) {
    throw new TypeError(
      `RecordedDecode: all layers must have latents of the same segments, got ${all[0]} in layer 0 and ${all[other]} in layer ${other}. Decode with Decoder.decode.`,
    );
  }
  return all[0]!.includes(',') ? ['vision', 'text'] : ['all'];
}

function stepBuffers(
  { config }: Decoder,
  shapes: readonly LatentShape[],
  buffers: DeviceBuffers,
): StepBuffers {
  const largest = (size: (shape: LatentShape) => number) =>
    buffers.storage(Math.max(...shapes.map(size)));
  const { hiddenSize, intermediateSize, headDim } = config;
  return {
    hidden: buffers.storage(hiddenSize),
    attended: buffers.storage(hiddenSize),
    projected: largest(
      ({ heads, keyHeads, ropeDim, nopeDim, groups, widths }) =>
        heads * (ropeDim + nopeDim) + keyHeads * ropeDim + groups * widths.at(-1)!,
    ),
    query: largest((shape) => queryLayout(shape).size),
    partials: largest((shape) => mostChunks(shape) * shape.heads * partialSize(shape)),
    values: largest(({ heads, valueDim }) => heads * valueDim),
    gated: buffers.storage(intermediateSize),
    angles: buffers.storage(headDim),
    step: buffers.create(4 * STEP_WORDS, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST),
  };
}

/** Copy a layer's cached blocks into its flat cache, on the device. */
function copyCache(
  cache: DecoderCache,
  layer: number,
  segments: readonly Segment[],
  shape: LatentShape,
  to: GPUBuffer,
  device: GPUDevice,
): void {
  const layout = latentLayout(shape);
  for (const [m, segment] of segments.entries()) {
    const parts = cache.layers[layer]!;
    const latents = parts.part(segment, 'kvLatent');
    if (!latents.exact || !parts.part(segment, 'kPe').exact) {
      throw new RangeError(
        'RecordedDecode: the cache must keep f32, got packed vectors. Make it without kvBits.',
      );
    }
    const place = {
      row: shape.widths[m]!,
      capacity: shape.capacities[m]!,
      start: layout.latents[m]!,
    };
    copyBlocks(latents.read<tf.Rank.R4>(), place, to, device);
    const row = shape.keyHeads * shape.ropeDim;
    copyBlocks(
      parts.part(segment, 'kPe').read<tf.Rank.R4>().map(headsSideBySide),
      { ...place, row, start: layout.keys[m]! },
      to,
      device,
    );
  }
}

/** Rotated keys [1, K, t, R], disposed, as [1, 1, t, K * R]. */
function headsSideBySide(block: tf.Tensor4D): tf.Tensor4D {
  const [, , tokens] = block.shape;
  const rows = tf.tidy(() =>
    tf.reshape(tf.transpose(block, [0, 2, 1, 3]), [1, 1, tokens, block.size / tokens]),
  );
  block.dispose();
  return rows as tf.Tensor4D;
}

/** @param blocks [1, heads, t, row]; disposed. */
function copyBlocks(
  blocks: readonly tf.Tensor4D[],
  { row, capacity, start }: { row: number; capacity: number; start: number },
  to: GPUBuffer,
  device: GPUDevice,
): void {
  let done = 0;
  for (const block of blocks) {
    const [, heads, tokens] = block.shape;
    if (block.size > 0) {
      const { tensorRef, buffer } = block.dataToGPU();
      const encoder = device.createCommandEncoder();
      for (let head = 0; head < heads; head++) {
        const target = start + (head * capacity + done) * row;
        const size = 4 * tokens * row;
        encoder.copyBufferToBuffer(buffer!, head * size, to, 4 * target, size);
      }
      device.queue.submit([encoder.finish()]);
      tensorRef.dispose();
    }
    block.dispose();
    done += tokens;
  }
}
