/**
 * What one layer has cached: per segment, named token blocks. Full attention keeps `key` and
 * `value`; latent attention keeps `kvLatent` and `kPe`.
 */
import type { Segment } from '../attention/attention';
import { TokenBlocks, type TokenStorage } from './token-blocks';

export class LayerCache {
  private readonly parts = new Map<string, TokenBlocks>();

  /** @param storageOf how a named part of a segment is stored. */
  constructor(private readonly storageOf: (segment: Segment, part: string) => TokenStorage) {}

  /** The blocks of a segment's part, made on first use. */
  part(segment: Segment, name: string): TokenBlocks {
    const key = `${segment}.${name}`;
    let blocks = this.parts.get(key);
    if (!blocks) {
      blocks = new TokenBlocks(this.storageOf(segment, name));
      this.parts.set(key, blocks);
    }
    return blocks;
  }

  fork(): LayerCache {
    const copy = new LayerCache(this.storageOf);
    for (const [key, blocks] of this.parts) copy.parts.set(key, blocks.fork());
    return copy;
  }

  /** Forget all but the first slots of a segment. */
  rewind(segment: Segment, slots: number): void {
    for (const [key, blocks] of this.parts) {
      if (key.startsWith(`${segment}.`)) blocks.rewind(slots);
    }
  }

  /** Take over what a fork holds; the fork is spent. */
  restore(fork: LayerCache): void {
    this.dispose();
    this.parts.clear();
    for (const [key, blocks] of fork.parts) this.parts.set(key, blocks);
    fork.parts.clear();
  }

  get allocatedBytes(): number {
    return [...this.parts.values()].reduce((sum, blocks) => sum + blocks.allocatedBytes, 0);
  }

  dispose(): void {
    for (const blocks of this.parts.values()) blocks.dispose();
  }
}
