/**
 * How generation computes a step: recorded on webgpu where there are programs for the decoder and its
 * cache, else op by op. Which of both changes nothing but float sums within their rounding.
 */
import type { DecoderCache } from './cache/decoder-cache';
import type { Decoder } from './decoder';
import { currentDevice, readAndDispose } from './webgpu/device-failure';
import { RecordedLogits } from './webgpu/recorded-logits';

/** `recorded`: one submit of fused programs. `composed`: op by op. */
export type DecodedBy = 'recorded' | 'composed';

export interface DecodePath {
  /** How the last step was computed; `undefined` before the first. */
  readonly decodedBy: DecodedBy | undefined;
  /**
   * @param tokens [B]. @param positionIds [B], or [3 * B]. @returns logits [B * vocabulary].
   * @throws Error with what a device reports.
   */
  logits(tokens: Int32Array, positionIds: Int32Array): Promise<Float32Array>;
  /** Leave the cache with all tokens that were decoded. */
  close(): void;
}

export interface DecodePathOptions {
  /** Tokens to decode, at most. */
  maxTokens: number;
  /** Whether a step may be recorded. */
  recorded: boolean;
  /** Most tokens that a recorded step makes room for at once; it then copies the cache anew. Default 512. */
  room?: number;
}

export function openDecodePath(
  decoder: Decoder,
  cache: DecoderCache,
  { maxTokens, recorded, room = 512 }: DecodePathOptions,
): DecodePath {
  let mayRecord = recorded && currentDevice() !== undefined;
  let open: RecordedLogits | undefined;
  let decodedBy: DecodedBy | undefined;
  let left = maxTokens;
  const close = () => {
    open?.close();
    open = undefined;
  };
  return {
    get decodedBy() {
      return decodedBy;
    },
    async logits(tokens, positionIds) {
      if (open?.isSpent) close();
      if (mayRecord) open ??= await tryRecording(decoder, cache, Math.min(left, room));
      mayRecord &&= open !== undefined;
      decodedBy = open ? 'recorded' : 'composed';
      left--;
      if (open) return open.next(tokens, positionIds);
      return readAndDispose(decoder.decode(tokens, positionIds, cache));
    },
    close,
  };
}

/** @returns undefined where there are no programs for a form, a size or the memory that is left. */
async function tryRecording(
  decoder: Decoder,
  cache: DecoderCache,
  maxTokens: number,
): Promise<RecordedLogits | undefined> {
  try {
    return await RecordedLogits.over(decoder, cache, maxTokens);
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) return undefined;
    throw error;
  }
}
