/**
 * The recorded step as generation takes it: logits of one token after another. The vectors of what it
 * decodes stay on the device, and reach the cache when someone looks for them there.
 */
import type { CacheBorrower, DecoderCache } from '../cache/decoder-cache';
import type { Decoder } from '../decoder';
import { type TokenLayout, textLayout } from '../token-layout';
import { commonSegments } from './attention-form';
import { currentDevice, watchDevice } from './device-failure';
import type { DecoderRecording } from './record-decoder';
import { RecordedStep } from './recorded-step';
import { sharedRecording } from './shared-recording';
import { storedShapes } from './stored-shapes';

export class RecordedLogits implements CacheBorrower {
  /** Tokens that the cache has taken up, but not their vectors. */
  private pending = 0;
  private revision: number;
  /** Of the new tokens. */
  private readonly layout: TokenLayout;

  private constructor(
    private readonly cache: DecoderCache,
    private readonly recording: DecoderRecording,
    private readonly step: RecordedStep,
  ) {
    this.revision = cache.revision;
    this.layout = textLayout(cache.batch, 1);
    cache.lend(this);
  }

  /**
   * @param maxTokens to make room for.
   * @throws TypeError or RangeError for a backend, a decoder or a cache that no recorded step is for,
   *   before any work but for the limits of bindings.
   */
  static async over(
    decoder: Decoder,
    cache: DecoderCache,
    maxTokens: number,
  ): Promise<RecordedLogits> {
    const device = currentDevice();
    if (!device) throw new TypeError('RecordedLogits: the backend must be webgpu.');
    storedShapes(decoder, cache, commonSegments(decoder.layers));
    watchDevice(device);
    const recording = await sharedRecording(decoder, device, cache.batch);
    const readBytes = 4 * cache.batch * decoder.config.vocabSize;
    const step = RecordedStep.bind(decoder, recording, cache, { maxTokens, readBytes });
    return new RecordedLogits(cache, recording, step);
  }

  /** Whether there must be another: it is full, its weights are gone or the cache has changed. */
  get isSpent(): boolean {
    const { step, recording, cache, revision } = this;
    return step.isFull || recording.buffers.isDisposed || cache.revision !== revision;
  }

  /** Bytes on the device that repeat what the cache holds, and room for more. */
  get sizeBytes(): number {
    return this.step.sizeBytes;
  }

  /**
   * Take up a token a row. @param tokens [B]. @param positionIds [B], or [3 * B] for M-RoPE.
   * @returns logits [B * vocabulary].
   * @throws as `RecordedStep.run` does; the cache is then as it was.
   */
  async next(tokens: Int32Array, positionIds: Int32Array): Promise<Float32Array> {
    const source = this.recording.logits;
    const logits = new Float32Array(await this.step.run(positionIds, tokens, { source }));
    this.cache.reserve(this.layout, positionIds);
    this.revision = this.cache.revision;
    this.pending++;
    return logits;
  }

  settle(): void {
    const count = this.pending;
    this.pending = 0; // first, as it reads the cache
    if (count > 0) this.step.giveBack(this.cache, count);
  }

  /** Give back what is left, and free the copy. */
  close(): void {
    this.cache.giveBack(this);
    this.step.dispose();
  }
}
