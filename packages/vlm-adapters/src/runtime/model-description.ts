import type { CacheBytes } from '@mha2mla/mla-runtime';

/** What a model is and takes, told by its config and headers alone. */
export interface ModelDescription {
  /** Name of its family. */
  family: string;
  /** Whether its attention has been converted, so that the cache holds latents. */
  isConverted: boolean;
  /** Bytes of the weights that loading reads. */
  storedBytes: number;
  /** Bytes of the weights once they are loaded; a cache and what is computed with come on top. */
  memoryBytes: number;
  /** Bytes that a token takes in the cache. */
  cacheBytesPerToken: CacheBytes;
  /** Bytes that one takes in the cache of the model as it was before it was converted. */
  originalCacheBytesPerToken: number;
}
