/**
 * What one layer has cached: per segment, named tensors of vectors. Full attention keeps `key` and
 * `value`; latent attention keeps `kvLatent` and `kPe`.
 */
import { QuantizedCache, type QuantizedCacheOptions } from '@mha2mla/kv-quant';
import type { Segment } from '../attention/attention';

export class LayerCache {
  private readonly parts = new Map<string, QuantizedCache>();

  /** @param storageOf how a named part of a segment is stored. */
  constructor(
    private readonly storageOf: (segment: Segment, part: string) => QuantizedCacheOptions,
  ) {}

  /** The vectors of a segment's part, made on first use. */
  part(segment: Segment, name: string): QuantizedCache {
    const key = `${segment}.${name}`;
    let cache = this.parts.get(key);
    if (!cache) {
      cache = new QuantizedCache(this.storageOf(segment, name));
      this.parts.set(key, cache);
    }
    return cache;
  }

  /** Those of a segment that were made. */
  partsOf(segment: Segment): QuantizedCache[] {
    return [...this.parts].flatMap(([key, part]) => (key.startsWith(`${segment}.`) ? [part] : []));
  }

  fork(): LayerCache {
    const copy = new LayerCache(this.storageOf);
    for (const [key, cache] of this.parts) copy.parts.set(key, cache.fork());
    return copy;
  }

  /** Forget all but the first slots of a segment. */
  rewind(segment: Segment, slots: number): void {
    for (const part of this.partsOf(segment)) part.rewind(slots);
  }

  /** Take over what a fork holds; the fork is spent. */
  restore(fork: LayerCache): void {
    this.dispose();
    this.parts.clear();
    for (const [key, blocks] of fork.parts) this.parts.set(key, blocks);
    fork.parts.clear();
  }

  /** Of each part. */
  get bytes(): QuantizedCache['bytes'][] {
    return [...this.parts.values()].map((cache) => cache.bytes);
  }

  dispose(): void {
    for (const cache of this.parts.values()) cache.dispose();
  }
}
