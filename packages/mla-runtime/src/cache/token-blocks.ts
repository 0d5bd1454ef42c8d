/**
 * An append-only tensor [B, heads, T, width] of cached vectors, in sealed blocks of a fixed length
 * and one open block. Appending copies the open block only: concatenating a long cache costs as
 * much as attending to it. Vectors are kept as f32, or packed into 16, 8 or 4 bits a token.
 */
import { concatPacked, dequantizeAffine, PackedTensor, quantizeAffine } from '@mha2mla/kv-quant';
import * as tf from '@tensorflow/tfjs-core';

export interface TokenStorage {
  /** Bits of a stored value; `undefined` keeps f32. */
  bits?: 4 | 8 | 16;
  /** Channels that share a scale and a zero point. */
  groupSize: number;
  /** Tokens a sealed block. */
  blockLength: number;
}

type Block = tf.Tensor4D | PackedTensor;

export class TokenBlocks {
  private readonly blocks: Block[] = [];
  private openLength = 0;

  constructor(private readonly storage: TokenStorage) {}

  /** Whether vectors come back as they were given. */
  get exact(): boolean {
    return this.storage.bits === undefined;
  }

  /** Append x [B, heads, t, width]; x stays the caller's. */
  append(x: tf.Tensor4D): void {
    const [batch, heads, tokens, width] = x.shape;
    for (let start = 0; start < tokens; ) {
      const room = this.storage.blockLength - this.openLength;
      const count = Math.min(room, tokens - start);
      const part =
        count === tokens
          ? tf.clone(x)
          : tf.slice(x, [0, 0, start, 0], [batch, heads, count, width]);
      this.extendOpen(part);
      part.dispose();
      start += count;
    }
  }

  /** Each block as f32 [B, heads, t, width], in the order of appending; the caller disposes them. */
  read(): tf.Tensor4D[] {
    return this.blocks.map((block) =>
      block instanceof tf.Tensor ? tf.clone(block) : (dequantizeAffine(block) as tf.Tensor4D),
    );
  }

  /** Forget all but the first tokens; of a block in which they end, a part is copied. */
  rewind(length: number): void {
    let excess = this.blocks.reduce((sum, { shape }) => sum + shape[2]!, -length);
    while (excess > 0) {
      const last = this.blocks.pop()!;
      const size = last.shape[2]!;
      if (size > excess) this.blocks.push(keepBlock(firstTokens(last, size - excess)));
      excess -= size;
      last.dispose();
    }
    this.openLength = (this.blocks.at(-1)?.shape[2] ?? 0) % this.storage.blockLength;
  }

  /** A second store with the same tokens. Blocks are shared, so this copies nothing. */
  fork(): TokenBlocks {
    const copy = new TokenBlocks(this.storage);
    copy.blocks.push(
      ...this.blocks.map((block) => (block instanceof tf.Tensor ? tf.clone(block) : block.clone())),
    );
    copy.openLength = this.openLength;
    return copy;
  }

  /** Bytes that the blocks hold on this backend. */
  get allocatedBytes(): number {
    return this.blocks.reduce(
      (sum, block) => sum + (block instanceof tf.Tensor ? 4 * block.size : block.sizeBytes),
      0,
    );
  }

  dispose(): void {
    for (const block of this.blocks) block.dispose();
    this.blocks.length = 0;
    this.openLength = 0;
  }

  /** Join `part` [B, heads, t, width] to the open block; t fits into it. */
  private extendOpen(part: tf.Tensor4D): void {
    const fresh = this.encode(part);
    if (this.openLength === 0) {
      this.blocks.push(keepBlock(fresh));
    } else {
      const open = this.blocks.pop()!;
      this.blocks.push(keepBlock(concatTokens(open, fresh)));
      open.dispose();
      fresh.dispose();
    }
    this.openLength = (this.openLength + part.shape[2]) % this.storage.blockLength;
  }

  private encode(part: tf.Tensor4D): Block {
    const { bits, groupSize } = this.storage;
    return bits === undefined ? tf.clone(part) : quantizeAffine(part, { bits, groupSize });
  }
}

function concatTokens(a: Block, b: Block): Block {
  if (a instanceof tf.Tensor) return tf.concat([a, b as tf.Tensor4D], 2);
  return concatPacked(a, b as PackedTensor, 2);
}

function firstTokens(block: Block, count: number): Block {
  if (block instanceof tf.Tensor) return cutTokens(block, count);
  const [batch, heads, , width] = block.shape as [number, number, number, number];
  const params = block.params && cutTokens(block.params as tf.Tensor4D, count);
  const codes = cutTokens(block.codes as tf.Tensor4D, count);
  return new PackedTensor([batch, heads, count, width], block, codes, params);
}

function cutTokens(x: tf.Tensor4D, count: number): tf.Tensor4D {
  const [batch, heads, , width] = x.shape;
  return tf.slice(x, [0, 0, 0, 0], [batch, heads, count, width]);
}

/** Blocks outlive the tidy of the layer that appends them. */
function keepBlock(block: Block): Block {
  if (block instanceof tf.Tensor) return tf.keep(block);
  tf.keep(block.codes);
  if (block.params) tf.keep(block.params);
  return block;
}
