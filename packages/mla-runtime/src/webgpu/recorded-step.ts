/**
 * A decode step that is recorded: what changes from token to token is written, all dispatches are
 * encoded into one submit, and one buffer is read back.
 */
import type { DecoderCache } from '../cache/decoder-cache';
import type { Decoder } from '../decoder';
import { CHUNK } from '../kernels/attend-latents';
import { rotaryAngles } from '../rotary';
import { DeviceBuffers } from './device-buffers';
import { DeviceCache } from './device-cache';
import { throwFailure } from './device-failure';
import type { Dispatch } from './dispatch';
import type { DecoderRecording } from './record-decoder';
import { firstSlot } from './slot-angles';
import { dispatchOf, NOTHING, STEP_WORDS } from './wgsl-program';

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
  private readonly words = new Uint32Array(STEP_WORDS);
  private readonly numbers = new Float32Array(this.words.buffer);
  private readonly angles: Float32Array<ArrayBuffer>;
  private readonly dispatches: readonly Dispatch[];
  private readonly staging: GPUBuffer;
  private readonly lengths: number[];
  private readonly stored: number[];

  private constructor(
    private readonly decoder: Decoder,
    private readonly recording: DecoderRecording,
    private readonly buffers: DeviceBuffers,
    private readonly copy: DeviceCache,
    readBytes: number,
  ) {
    this.angles = new Float32Array(decoder.config.headDim);
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
    this.lengths = [...copy.parts.lengths];
    this.stored = [...copy.parts.stored];
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
    return this.lengths.at(-1)! >= this.copy.parts.room.capacities.at(-1)!;
  }

  /**
   * Take up a token and compute what follows.
   * @param token its id; by default the one that the last step has picked.
   * @returns what was read back.
   * @throws RangeError when the cache is full; Error with what the device reports.
   */
  async run(
    positionIds: Int32Array,
    token: number | undefined,
    output: StepOutput,
  ): Promise<ArrayBuffer> {
    const { device } = this.buffers;
    this.submit(positionIds, token, output);
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
    this.copy.giveBack(cache, this.lengths.at(-1)! - count, count);
  }

  dispose(): void {
    this.buffers.dispose();
  }

  private submit(positionIds: Int32Array, token: number | undefined, output: StepOutput): void {
    const { step, token: chosen, buffers } = this.recording;
    const { device } = buffers;
    const { source, pick } = output;
    const chunks = this.prepare(positionIds, output);
    device.queue.writeBuffer(step.step, 0, this.words);
    device.queue.writeBuffer(step.angles, 0, this.angles);
    this.writeSlotAngles();
    if (token !== undefined) device.queue.writeBuffer(chosen, 0, Uint32Array.of(token));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const dispatch of pick ? [...this.dispatches, pick] : this.dispatches) {
      const { pipeline, bindGroup, groups, perChunk } = dispatch;
      const [x, y] = dispatchOf(perChunk ? groups * chunks : groups);
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(x, y);
    }
    pass.end();
    encoder.copyBufferToBuffer(source, 0, this.staging, 0, this.staging.size);
    device.queue.submit([encoder.finish()]);
  }

  /** The angles of the newest slot, where they are kept. */
  private writeSlotAngles(): void {
    const { layers, room } = this.copy.parts;
    const last = this.lengths.length - 1;
    const { angles } = layers[0]!;
    if (!angles) return;
    const row = firstSlot(room, last) + this.lengths[last]! - 1;
    this.buffers.device.queue.writeBuffer(angles, row * this.angles.byteLength, this.angles);
  }

  /** @returns the chunks of all segments. */
  private prepare(positionIds: Int32Array, { temperature = 1, uniform = 0 }: StepOutput): number {
    const { lengths, stored, copy } = this;
    const last = lengths.length - 1;
    if (this.isFull) {
      throw new RangeError(
        `RecordedDecode: the cache is full at ${lengths[last]} tokens of its last segment. Record with a larger maxTokens.`,
      );
    }
    const { cos, sin } = rotaryAngles(positionIds, 1, this.decoder.config); // throws before anything changes
    this.angles.set(cos);
    this.angles.set(sin, cos.length);
    const slot = lengths[last]!;
    lengths[last] = slot + 1;
    const leaving = stored[last]!;
    stored[last] = Math.max(leaving, slot + 1 - copy.parts.residualLength);
    const window = lengths.map((length, m) => length - stored[m]!);
    const chunks = lengths.flatMap((_, m) =>
      [stored[m]!, window[m]!].map((count) => Math.ceil(count / CHUNK)),
    );
    const pair = ([first, other = 0]: readonly number[]) => [first!, other];
    this.words.set([...pair(stored), ...pair(window), ...chunks, ...(last === 0 ? [0, 0] : [])]);
    this.words.set([slot, stored[last]! > leaving ? leaving : NOTHING], 8);
    this.numbers.set([temperature, uniform], 10);
    return chunks.reduce((sum, count) => sum + count, 0);
  }
}
