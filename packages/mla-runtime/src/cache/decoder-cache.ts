/**
 * The cache of a decoder: one {@link LayerCache} a layer, and the slots that all layers share.
 * Segments are kept apart by modality where the latents are, so that a decode step attends to each
 * with its own absorbed query; the order of slots does not matter to it.
 */
import type { Attention, Segment } from '../attention/attention';
import { isTensorFlowOnProcessor } from '../kernels/host-backends';
import type { TokenLayout } from '../token-layout';
import { type CacheOptions, cacheStorage, checkCacheOptions, isExact } from './cache-options';
import { LayerCache } from './layer-cache';
import { segmentColumns, sequencePositions } from './segment-tokens';
import { SlotAngles } from './slot-angles';
import { SlotTable } from './slot-table';

/** Bytes of a cache, by what they hold. */
export interface DecoderCacheBytes {
  codes: number;
  /** Scales, zero points, factors; static scales are the model's. */
  params: number;
  /** Vectors that are held exact, as float32, the window of the newest among them. */
  exact: number;
  /** Of each token its place in the sequence and kept rotary positions, once for all layers. */
  positions: number;
  /** A copy that a recorded step works on, with room for what comes; allocated alone. */
  copies: number;
  total: number;
}

/** Who decodes over a copy, and holds the vectors of the newest tokens until they are asked for. */
export interface CacheBorrower {
  /** Append the vectors that the cache lacks. */
  settle(): void;
  /** Bytes of the copy. */
  readonly sizeBytes: number;
}

/** What a decoder does with its cache. */
export interface DecoderCacheUse {
  /** Whether rotary positions stay, which keys with a bias need when quantized. */
  keepsAngles?: boolean;
  /** Of a layer, as {@link Attention} says. */
  inOnePass?: (layer: number) => boolean;
}

/** Bytes of a number in an array of the host. */
const HOST_NUMBER = 8;

/** What all layers have cached of a batch: keys and values, or latents and rotary keys. */
export class DecoderCache {
  /** Counts the changes to which tokens are cached. */
  revision = 0;
  private borrower: CacheBorrower | undefined;

  private constructor(
    private readonly ownLayers: readonly LayerCache[],
    private readonly slots: ReadonlyMap<Segment, SlotTable>,
    /** Tokens of each row so far, padding left out. */
    readonly lengths: Int32Array,
    /** Of all slots, for what is kept out of the cache. */
    readonly angles: SlotAngles,
    private readonly keepsAngles: boolean,
  ) {}

  /**
   * An empty cache for `batch` rows. The caller disposes it.
   * @throws RangeError on bad options.
   */
  static create(
    batch: number,
    numLayers: number,
    segments: readonly Segment[],
    options: CacheOptions = {},
    { keepsAngles = true, inOnePass = () => false }: DecoderCacheUse = {},
  ): DecoderCache {
    checkCacheOptions(options, numLayers, segments); // fail before any work
    const newLayer = (layer: number) =>
      isTensorFlowOnProcessor() && isExact(layer, options) && inOnePass(layer)
        ? new LayerCache()
        : new LayerCache((segment, part) => cacheStorage(layer, segment, part, options));
    return new DecoderCache(
      Array.from({ length: numLayers }, (_, layer) => newLayer(layer)),
      new Map(segments.map((segment) => [segment, new SlotTable(batch)])),
      new Int32Array(batch),
      SlotAngles.empty(),
      keepsAngles,
    );
  }

  /** B. */
  get batch(): number {
    return this.lengths.length;
  }

  /** What each layer holds of all tokens. */
  get layers(): readonly LayerCache[] {
    this.borrower?.settle();
    return this.ownLayers;
  }

  /** Have the newest tokens' vectors held by a borrower, until {@link giveBack}. */
  lend(borrower: CacheBorrower): void {
    this.borrower?.settle();
    this.borrower = borrower;
  }

  /** Take back what a borrower holds, if it is still this cache's. */
  giveBack(borrower: CacheBorrower): void {
    if (this.borrower !== borrower) return;
    borrower.settle();
    this.borrower = undefined;
  }

  /** A second cache with the same tokens, to go on in another way. The caller disposes it. */
  fork(): DecoderCache {
    return new DecoderCache(
      this.layers.map((layer) => layer.fork()),
      new Map([...this.slots].map(([segment, table]) => [segment, table.fork()])),
      this.lengths.slice(),
      this.angles.fork(),
      this.keepsAngles,
    );
  }

  /** Which slots of a segment hold which tokens. */
  slotTable(segment: Segment): SlotTable {
    const table = this.slots.get(segment);
    if (!table) throw new Error(`DecoderCache: expected a segment, got "${segment}".`);
    return table;
  }

  /**
   * Take up further tokens; the layers then append their vectors, segment by segment.
   * @param positionIds [B * L], or [3 * B * L] for M-RoPE.
   */
  reserve(layout: TokenLayout, positionIds: Int32Array): void {
    if (layout.batch !== this.batch) {
      throw new RangeError(
        `DecoderCache: further tokens must have ${this.batch} rows, got ${layout.batch}.`,
      );
    }
    this.revision++;
    if (this.keepsAngles) this.angles.append(positionIds, layout);
    const positions = sequencePositions(layout, this.lengths);
    for (const [segment, table] of this.slots) {
      table.append(
        segmentColumns(segment, layout).map((columns, row) =>
          columns.map((column) => positions[row * layout.length + column]!),
        ),
      );
    }
    for (let row = 0; row < layout.batch; row++) {
      this.lengths[row] = positions[(row + 1) * layout.length - 1]! + 1;
    }
  }

  /**
   * Forget all but the first tokens of each row, and free the slots that no row fills any more.
   * @param lengths [B], tokens that stay.
   * @throws RangeError for another number of lengths, or one that a row does not have.
   */
  rewind(lengths: ArrayLike<number>): void {
    const kept = Array.from(lengths);
    const fits = (length: number, row: number) =>
      Number.isSafeInteger(length) && length >= 0 && length <= this.lengths[row]!;
    if (kept.length !== this.batch || !kept.every(fits)) {
      throw new RangeError(
        `DecoderCache: rewind must keep 0 to ${this.lengths.join(', ')} tokens of the rows, got ${kept.join(', ')}.`,
      );
    }
    const { layers } = this; // whole, before slots go
    this.revision++;
    for (const [segment, table] of this.slots) {
      table.rewind(kept);
      for (const layer of layers) layer.rewind(segment, table.length);
    }
    this.angles.rewind(kept);
    this.lengths.set(kept);
  }

  /** Take over what a fork of this cache holds; the fork is spent. */
  restore(fork: DecoderCache): void {
    const { layers } = fork;
    this.borrower = undefined;
    this.revision++;
    for (const [index, layer] of this.ownLayers.entries()) layer.restore(layers[index]!);
    for (const [segment, table] of this.slots) table.restore(fork.slotTable(segment));
    this.angles.restore(fork.angles);
    this.lengths.set(fork.lengths);
  }

  /** Bytes that the cached vectors take on this backend, padding of a batch included. */
  get allocatedBytes(): number {
    const { codes, params, exact, copies } = this.bytes.allocated;
    return codes + params + exact + copies + this.angles.allocatedBytes;
  }

  /** Bytes by the format, and as they are held, each by what they are for. */
  get bytes(): { nominal: DecoderCacheBytes; allocated: DecoderCacheBytes } {
    const slots = [...this.slots.values()].reduce((sum, { length }) => sum + length, 0);
    const places = slots * this.batch + this.angles.count;
    const parts = this.layers.flatMap((layer) => layer.bytes);
    const count = (
      form: 'nominal' | 'allocated',
      positions: number,
      copies = 0,
    ): DecoderCacheBytes => {
      const sum = (kind: 'codes' | 'params' | 'exact') =>
        parts.reduce((total, part) => total + part[form][kind], 0);
      const [codes, params, exact] = [sum('codes'), sum('params'), sum('exact')];
      const total = codes + params + exact + positions + copies;
      return { codes, params, exact, positions, copies, total };
    };
    return {
      nominal: count('nominal', 4 * places),
      allocated: count(
        'allocated',
        HOST_NUMBER * places + this.angles.allocatedBytes,
        this.borrower?.sizeBytes,
      ),
    };
  }

  /** Frees all that is cached. */
  dispose(): void {
    this.borrower = undefined;
    for (const layer of this.ownLayers) layer.dispose();
    for (const table of this.slots.values()) table.dispose();
    this.angles.dispose();
  }
}
