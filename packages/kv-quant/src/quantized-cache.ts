/**
 * An append-only tensor [..., T, C] of cached vectors. The newest tokens are kept exact; older ones
 * are quantized once, in whole groups, and their codes are never touched again. Which tokens are
 * quantized depends on how many there are, not on how they came: any chunking of the same vectors
 * gives the same bytes. Codes lie in sealed blocks of a fixed length and one open block, so that
 * appending copies the open block and the window, never the long cache. Sealed blocks of a cache that
 * keeps all exact are joined, a few at a time.
 */
import * as tf from '@tensorflow/tfjs-core';
import { type ByteCount, countBytes } from './cache-bytes';
import { concatPacked } from './concat-packed';
import { dequantize } from './dequantize';
import { PackedTensor } from './packed-tensor';
import { type QuantSpec, resolveSpec } from './quant-spec';
import { quantize } from './quantize';
import { shareTensor } from './share-tensor';
import { slicePacked } from './slice-packed';

/** Options of `QuantizedCache`. */
export interface QuantizedCacheOptions {
  /** How older tokens are stored; none keeps all of them as float32. */
  spec?: QuantSpec;
  /** The newest tokens that stay exact, at least. Default 0, groups of tokens fill up beyond it. */
  residualLength?: number;
  /** Tokens a sealed block, whole groups. Default: the groups that reach 256 tokens. */
  blockLength?: number;
}

/** What a cache holds after it was rewound. */
export interface RewindResult {
  /** Tokens that are held exact. */
  exact: number;
  /** Tokens that are held as codes, as they were written. */
  coded: number;
  /** Of those, tokens that a cache which had never been longer would hold exact; 0: all is as there. */
  early: number;
}

/**
 * Sealed blocks of exact vectors that become one: products over 2,048 tokens run at up to twice the
 * rate of eight over 256, and a vector is copied but once for it.
 */
const JOINED_BLOCKS = 8;
/** Most bytes of such a block: half of what WebGPU binds by default. */
const JOINED_BYTES = 2 ** 26;

/** A part of a cache: codes, or vectors as they are. */
export type CachePart = PackedTensor | tf.Tensor;

/**
 * Cached vectors [B, heads, T, C] that are packed once, in blocks, when they leave the exact
 * window.
 */
export class QuantizedCache {
  readonly spec: QuantSpec | undefined;
  readonly residualLength: number;
  readonly blockLength: number;
  /** Tokens that are quantized together: 1, or a group of tokens. */
  private readonly unit: number;
  /** Oldest first; only the last may have room. */
  private readonly blocks: CachePart[] = [];
  private sealed = 0;
  /** [..., t, C], what is not quantized yet. */
  private window: tf.Tensor | undefined;
  /** Shape of the tensor with 0 tokens, once it is known. */
  private rowShape: number[] | undefined;

  /** @throws RangeError for a bad spec or length. */
  constructor(private readonly options: QuantizedCacheOptions = {}) {
    const { spec, residualLength = 0 } = options;
    const resolved = spec && resolveSpec('QuantizedCache', spec, undefined);
    this.unit = resolved?.axis === 'channel' ? resolved.groupSize : 1;
    const { blockLength = Math.ceil(256 / this.unit) * this.unit } = options;
    if (!Number.isSafeInteger(residualLength) || residualLength < 0) {
      throw new RangeError(
        `QuantizedCache: residualLength must be a whole number from 0, got ${residualLength}.`,
      );
    }
    const positive = Number.isSafeInteger(blockLength) && blockLength >= 1;
    if (!positive || blockLength % this.unit !== 0) {
      const multiple = this.unit > 1 ? ` and a multiple of groupSize=${this.unit}` : '';
      throw new RangeError(
        `QuantizedCache: blockLength must be a positive integer${multiple}, got ${blockLength}.`,
      );
    }
    this.spec = spec;
    this.residualLength = spec ? residualLength : 0;
    this.blockLength = blockLength;
  }

  /** Whether all vectors come back as they were given. */
  get exact(): boolean {
    return this.spec === undefined;
  }

  /** Tokens held. */
  get length(): number {
    return this.sealed + tokensOf(this.window);
  }

  /** Codes and exact vectors in the order of appending; they stay the cache's. */
  get parts(): readonly CachePart[] {
    return this.window ? [...this.blocks, this.window] : this.blocks;
  }

  /**
   * Append vectors.
   * @param x float32 [..., t, C], of the same batch and width each time. Not disposed.
   * @throws RangeError if its shape does not fit.
   */
  append(x: tf.Tensor): void {
    this.checkShape(x);
    const kept = tf.tidy(() => {
      const fresh = this.window ? tf.concat([this.window, x], x.rank - 2) : x; // [..., w + t, C]
      const ready = this.readyOf(tokensOf(fresh));
      this.seal(fresh, ready);
      return ready < tokensOf(fresh) ? sliceTokens(fresh, ready, tokensOf(fresh)) : undefined;
    });
    this.setWindow(kept);
  }

  /** Each part as float32 [..., t, C], in the order of appending; the caller disposes them. */
  read<R extends tf.Rank>(): tf.Tensor<R>[] {
    return this.parts.map((part) =>
      part instanceof PackedTensor ? dequantize(part) : shareTensor(part),
    ) as tf.Tensor<R>[];
  }

  /**
   * Forget all tokens but the first `length`. What is still in the window stays exact; of older
   * tokens the codes stay as they are, as their vectors are gone. A group of tokens that is cut keeps
   * its scale, and the next group begins after it.
   * @throws RangeError unless 0 <= length <= this.length.
   */
  rewind(length: number): RewindResult {
    if (!Number.isSafeInteger(length) || length < 0 || length > this.length) {
      throw new RangeError(
        `QuantizedCache: length must be a whole number from 0 to ${this.length}, got ${length}.`,
      );
    }
    const exact = Math.max(0, length - this.sealed);
    if (this.window) this.setWindow(sliceTokens(this.window, 0, exact));
    while (this.sealed > length) {
      const last = this.blocks.pop()!;
      const left = tokensOf(last) - (this.sealed - length);
      if (left > 0) this.blocks.push(keepPart(sliceTokens(last, 0, left)));
      this.sealed -= tokensOf(last) - Math.max(left, 0);
      last.dispose();
    }
    return { exact, coded: this.sealed, early: Math.max(0, this.sealed - this.readyOf(length)) };
  }

  /** A second cache with the same tokens; shares the words, so this copies nothing. */
  fork(): QuantizedCache {
    const copy = new QuantizedCache(this.options);
    copy.blocks.push(...this.blocks.map((block) => keepPart(clonePart(block))));
    copy.sealed = this.sealed;
    copy.window = this.window && tf.keep(shareTensor(this.window));
    copy.rowShape = this.rowShape;
    return copy;
  }

  /** Bytes by the format alone, and bytes that the tensors have; parts shared with forks included. */
  get bytes(): { nominal: ByteCount; allocated: ByteCount } {
    return countBytes(this.blocks, this.window);
  }

  /** Frees what is cached, unless a fork holds it too. */
  dispose(): void {
    for (const part of this.parts) part.dispose();
    this.blocks.length = 0;
    this.sealed = 0;
    this.window = undefined;
  }

  /** How many of `count` exact tokens are to be quantized. */
  private readyOf(count: number): number {
    return Math.floor(Math.max(0, count - this.residualLength) / this.unit) * this.unit;
  }

  /** Quantize the first `count` tokens of x [..., t, C] and join them to the blocks. */
  private seal(x: tf.Tensor, count: number): void {
    for (let start = 0; start < count; ) {
      const last = this.blocks.at(-1);
      const filled = tokensOf(last);
      // A block that a rewind cut within a group of tokens takes no more.
      const open = last && filled < this.blockLength && filled % this.unit === 0 ? last : undefined;
      const size = Math.min(this.blockLength - tokensOf(open), count - start);
      // All of x need not be shared where it is copied next.
      const copied = size === tokensOf(x) && (open || this.spec);
      const part = copied ? x : sliceTokens(x, start, start + size);
      const fresh = this.spec ? quantize(part, this.spec) : part;
      if (open) this.blocks.pop();
      this.blocks.push(keepPart(open ? concatTokens(open, fresh) : fresh));
      open?.dispose();
      this.joinFull();
      start += size;
      this.sealed += size;
    }
  }

  /** Make one block of the newest full ones, once there are enough of exact vectors. */
  private joinFull(): void {
    const full = this.blocks.slice(-JOINED_BLOCKS);
    if (full.length < JOINED_BLOCKS || full.some((block) => !this.isJoinable(block))) return;
    const joined = tf.keep(tf.concat(full as tf.Tensor[], full[0]!.shape.length - 2));
    this.blocks.splice(-JOINED_BLOCKS, JOINED_BLOCKS, joined);
    tf.dispose(full as tf.Tensor[]);
  }

  private isJoinable(block: CachePart): boolean {
    if (block instanceof PackedTensor || tokensOf(block) !== this.blockLength) return false;
    return JOINED_BLOCKS * 4 * block.size <= JOINED_BYTES;
  }

  private setWindow(window: tf.Tensor | undefined): void {
    this.window?.dispose();
    this.window = window && tokensOf(window) > 0 ? tf.keep(window) : undefined;
    if (!this.window) window?.dispose();
  }

  private checkShape(x: tf.Tensor): void {
    const shape = x.shape.map((size, i) => (i === x.rank - 2 ? 0 : size));
    const expected = this.rowShape ?? shape;
    const same = shape.length === expected.length && shape.every((size, i) => size === expected[i]);
    if (x.rank < 2 || x.dtype !== 'float32' || !same) {
      const wanted = this.rowShape ? `[${this.rowShape}] but for the tokens` : '[..., t, C]';
      throw new RangeError(
        `QuantizedCache: x must be float32 ${wanted}, got ${x.dtype} [${x.shape}].`,
      );
    }
    this.rowShape = shape;
  }
}

function tokensOf(part: CachePart | undefined): number {
  return part ? part.shape.at(-2)! : 0;
}

/** A part of its own with the tokens from `begin` to before `end`. */
function sliceTokens<P extends CachePart>(part: P, begin: number, end: number): P;
function sliceTokens(part: CachePart, begin: number, end: number): CachePart {
  if (part instanceof PackedTensor) return slicePacked(part, begin, end);
  if (begin === 0 && end === tokensOf(part)) return shareTensor(part);
  const axis = part.rank - 2;
  return tf.slice(
    part,
    part.shape.map((_, i) => (i === axis ? begin : 0)),
    part.shape.map((size, i) => (i === axis ? end - begin : size)),
  );
}

function clonePart(part: CachePart): CachePart {
  return part instanceof PackedTensor ? part.clone() : shareTensor(part);
}

function concatTokens(a: CachePart, b: CachePart): CachePart {
  if (a instanceof PackedTensor) return concatPacked(a, b as PackedTensor);
  return tf.concat([a, b as tf.Tensor], a.rank - 2);
}

/** Parts outlive the tidy of whoever appends. */
function keepPart(part: CachePart): CachePart {
  if (part instanceof PackedTensor) {
    tf.keep(part.codes);
    if (part.params) tf.keep(part.params);
    return part;
  }
  return tf.keep(part);
}
