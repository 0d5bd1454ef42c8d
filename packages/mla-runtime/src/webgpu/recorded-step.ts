/**
 * A decode step that is recorded: what changes from token to token is written, all dispatches are
 * encoded into one submit, and one buffer is read back.
 */
import type { DecoderCache } from '../cache/decoder-cache';
import type { Decoder } from '../decoder';
import { CacheProgress } from './cache-progress';
import { DeviceBuffers } from './device-buffers';
import { DeviceCache } from './device-cache';
import { throwFailure } from './device-failure';
import type { Dispatch } from './dispatch';
import { firstSlot, slotCount } from './latent-shape';
import type { DecoderRecording } from './record-decoder';
import { angleRows } from './slot-angles';
import { dispatchOf, STEP_WORDS } from './wgsl-program';

/** What a step reads back, and how it draws. */
export interface StepOutput {
  /** Copied at the end of the step. */
  source: GPUBuffer;
  /** After all others. */
  pick?: Dispatch;
  temperature?: number;
  /** In [0, 1). */
  uniform?: number;
}

export class RecordedStep {
  private readonly rows: number;
  private readonly words: Uint32Array<ArrayBuffer>;
  private readonly angles: Float32Array<ArrayBuffer>;
  private readonly dispatches: readonly Dispatch[];
  private readonly staging: GPUBuffer;
  private readonly progress: CacheProgress;

  private constructor(
    private readonly decoder: Decoder,
    private readonly recording: DecoderRecording,
    private readonly buffers: DeviceBuffers,
    private readonly copy: DeviceCache,
    readBytes: number,
  ) {
    this.rows = copy.parts.rows.length;
    this.words = new Uint32Array(this.rows * STEP_WORDS);
    this.angles = new Float32Array(this.rows * decoder.config.headDim);
    this.dispatches = [
      ...recording.lookup,
      ...recording.layers.flatMap(({ before, attend, after }, i) => [
        ...before,
        ...attend(copy.parts.shapes[i]!, copy.parts.layers[i]!),
        ...after,
      ]),
      ...recording.head,
    ];
    this.staging = buffers.create(readBytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    this.progress = new CacheProgress(copy);
  }

  /**
   * Bind a decoder's step to a copy of a cache, with room for further tokens.
   * @param readBytes that a step reads back.
   * @throws as `DeviceCache.copy` does.
   */
  static bind(
    decoder: Decoder,
    recording: DecoderRecording,
    cache: DecoderCache,
    { maxTokens, readBytes }: { maxTokens: number; readBytes: number },
  ): RecordedStep {
    const { device } = recording.buffers;
    const buffers = new DeviceBuffers(device);
    try {
      const copy = DeviceCache.copy(decoder, cache, maxTokens, buffers);
      const step = new RecordedStep(decoder, recording, buffers, copy, readBytes);
      throwFailure(device);
      return step;
    } catch (error) {
      buffers.dispose();
      throw error;
    }
  }

  get dispatchCount(): number {
    return this.dispatches.length;
  }

  /** Bytes of the conversation on the device; the decoder's are not among them. */
  get sizeBytes(): number {
    return this.buffers.sizeBytes;
  }

  get isFull(): boolean {
    return this.progress.isFull;
  }

  /**
   * Take up a token a row and compute what follows.
   * @param positionIds [B], or [3 * B] for M-RoPE.
   * @param tokens [B]; by default the one that the last step has picked.
   * @returns what was read back.
   * @throws RangeError when the cache is full; Error with what the device reports.
   */
  async run(
    positionIds: Int32Array,
    tokens: Int32Array | undefined,
    output: StepOutput,
  ): Promise<ArrayBuffer> {
    const { device } = this.buffers;
    this.submit(positionIds, tokens, output);
    try {
      await this.staging.mapAsync(GPUMapMode.READ);
    } catch (error) {
      await device.queue.onSubmittedWorkDone().catch(() => {}); // let the loss be heard
      throwFailure(device, error);
      throw error;
    }
    const bytes = this.staging.getMappedRange().slice(0);
    this.staging.unmap();
    throwFailure(device);
    return bytes;
  }

  /** Append the newest tokens to the cache that was copied, which lacks them. */
  giveBack(cache: DecoderCache, count: number): void {
    const firsts = this.progress.lengths.map((length) => length - count);
    this.copy.giveBack(cache, firsts, count);
  }

  dispose(): void {
    this.buffers.dispose();
  }

  private submit(
    positionIds: Int32Array,
    tokens: Int32Array | undefined,
    output: StepOutput,
  ): void {
    const { step, token: chosen, buffers } = this.recording;
    const { device } = buffers;
    const { source, pick } = output;
    const chunks = this.prepare(positionIds, output);
    device.queue.writeBuffer(step.step, 0, this.words);
    device.queue.writeBuffer(step.angles, 0, this.angles);
    this.writeSlotAngles();
    if (tokens) device.queue.writeBuffer(chosen, 0, Uint32Array.from(tokens));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const dispatch of pick ? [...this.dispatches, pick] : this.dispatches) {
      const { pipeline, bindGroup, groups, perChunk } = dispatch;
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(...dispatchOf(perChunk ? groups * chunks : groups, this.rows));
    }
    pass.end();
    encoder.copyBufferToBuffer(source, 0, this.staging, 0, this.staging.size);
    device.queue.submit([encoder.finish()]);
  }

  /** The angles of each row's newest slot, where they are kept. */
  private writeSlotAngles(): void {
    const { layers, room, segments } = this.copy.parts;
    const { angles } = layers[0]!;
    if (!angles) return;
    const { headDim } = this.decoder.config;
    const first = firstSlot(room, segments.length - 1);
    for (const [row, length] of this.progress.lengths.entries()) {
      const slot = row * slotCount(room) + first + length - 1;
      const own = this.angles.subarray(row * headDim, (row + 1) * headDim);
      this.buffers.device.queue.writeBuffer(angles, 4 * headDim * slot, own);
    }
  }

  /** @returns the most chunks of a row. */
  private prepare(positionIds: Int32Array, { temperature, uniform }: StepOutput): number {
    const { progress, decoder } = this;
    if (progress.isFull) {
      throw new RangeError(
        `RecordedDecode: the cache is full at ${Math.max(...progress.lengths)} tokens of its last segment. Record with a larger maxTokens.`,
      );
    }
    // Throws before anything changes.
    this.angles.set(angleRows(positionIds, this.rows, decoder.config));
    return progress.next(this.words, { temperature, uniform });
  }
}
