/**
 * What one layer has cached: per segment, named tensors of vectors. Full attention keeps `key` and
 * `value`; latent attention keeps `kvLatent` and `kPe`.
 */
import { type CachePart, QuantizedCache, type QuantizedCacheOptions } from '@mha2mla/kv-quant';
import type { Segment } from '../attention/attention';
import { HostArena } from '../host/host-arena';
import { ArenaVectors } from './arena-vectors';

/** One part of a segment: as tensors or their codes, or in memory of ours. */
export type CachedVectors = QuantizedCache | ArenaVectors;

/**
 * Tensors and codes, in the order of tokens; they stay the cache's.
 * @throws Error where they lie in memory of ours.
 */
export function storedParts(vectors: CachedVectors): readonly CachePart[] {
  if (vectors instanceof QuantizedCache) return vectors.parts;
  throw new Error('storedParts: vectors must be tensors, got those of an arena. Use read().');
}

/** Heads of vectors [B, heads, T, C] that are not empty. */
export function headsOf(vectors: CachedVectors): number {
  return vectors instanceof QuantizedCache ? vectors.parts[0]!.shape[1]! : vectors.placed.parts;
}

export class LayerCache {
  private readonly parts = new Map<string, CachedVectors>();
  /** What those in memory of ours are in, and those of forks; taken once there is something to hold. */
  private arena: HostArena | undefined;

  /** @param storageOf how a named part of a segment is stored; without it all are as they are. */
  constructor(
    private readonly storageOf?: (segment: Segment, part: string) => QuantizedCacheOptions,
  ) {}

  /** The vectors of a segment's part, made on first use. */
  part(segment: Segment, name: string): CachedVectors {
    const key = `${segment}.${name}`;
    let cache = this.parts.get(key);
    if (!cache) {
      cache = this.storageOf
        ? new QuantizedCache(this.storageOf(segment, name))
        : new ArenaVectors(() => this.ownArena());
      this.parts.set(key, cache);
    }
    return cache;
  }

  /** Those of a segment that were made. */
  partsOf(segment: Segment): CachedVectors[] {
    return [...this.parts].flatMap(([key, part]) => (key.startsWith(`${segment}.`) ? [part] : []));
  }

  fork(): LayerCache {
    const copy = new LayerCache(this.storageOf);
    copy.arena = this.arena;
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
    this.arena = fork.arena;
    for (const [key, blocks] of fork.parts) this.parts.set(key, blocks);
    fork.parts.clear();
  }

  /** Of each part. */
  get bytes(): CachedVectors['bytes'][] {
    return [...this.parts.values()].map((cache) => cache.bytes);
  }

  dispose(): void {
    for (const cache of this.parts.values()) cache.dispose();
  }

  private ownArena(): HostArena {
    this.arena ??= HostArena.take();
    return this.arena;
  }
}
