/**
 * Autoregressive generation: prefill the prompts into a cache, then decode one token a row at a
 * time. Yields as it goes; leaving the loop, an error or an abort frees the cache. A cache that is
 * handed in is gone on from, and left with all that was said but each row's last token.
 */
import type { CacheOptions } from './cache/cache-options';
import { DecoderCache } from './cache/decoder-cache';
import { sequencePositions } from './cache/segment-tokens';
import { ContextFullError } from './context-full-error';
import { type DecodedBy, openDecodePath } from './decode-path';
import type { Decoder } from './decoder';
import { type PrefillInputs, prefillLogits } from './prefill-logits';
import { checkSamplingOptions, type SamplingOptions, sampleToken } from './sample';
import { seededRandom } from './seeded-random';
import { PADDING } from './token-layout';
import { yieldToEventLoop } from './yield-to-event-loop';

/** What `generate` takes: an embedded prompt, and the positions that follow it. */
export interface GenerateInputs extends PrefillInputs {
  /** Position of each row's first new token, on every axis. */
  nextPositions: Int32Array;
}

export interface GenerateOptions extends SamplingOptions {
  /** Most new tokens a row. Default 128. */
  maxTokens?: number;
  /** Most tokens of a row in all. Default: no limit. */
  contextWindow?: number;
  /** A row stops after one of these; none given, rows run to `maxTokens`. */
  eosTokenIds?: readonly number[];
  /** Each row's prompt, padding left out: said already, for a repetition penalty. */
  promptIds?: readonly ArrayLike<number>[];
  /** How a cache of its own stores; or one to go on from, behind which the inputs stand. */
  cache?: CacheOptions | DecoderCache;
  /** In place of `random`: each row draws from this seed, so that it says what it says alone. */
  seed?: number;
  /** Prompt tokens that a layer takes at once. Default 512. */
  pieceLength?: number;
  /**
   * Whether steps are recorded on webgpu where they can be: fused programs in one submit, over copies
   * of the cache and of dense weights. Default true.
   */
  recorded?: boolean;
  signal?: AbortSignal;
  /** Called while the prompt is run, after each piece of it. */
  onProgress?: (progress: { phase: 'prefill'; loaded: number; total: number }) => void;
}

/** New tokens, one a row, and what they were chosen by. */
export interface GenerateStep {
  /** [B], the new token of each row; of a row that has stopped, -1. */
  tokens: Int32Array;
  /** Logits that chose them, [B * vocabulary]. */
  logits: Float32Array;
  cache: DecoderCache;
  /** How they were computed; `undefined` of the first, which the prefill gives. */
  decodedBy?: DecodedBy;
}

/**
 * @returns a generator of steps; it ends when every row has stopped, or `maxTokens` or
 *   `contextWindow` is reached.
 * @throws ContextFullError before any work where a prompt leaves no place for a token;
 *   the signal's reason when aborted.
 */
export async function* generate(
  decoder: Decoder,
  inputs: GenerateInputs,
  options: GenerateOptions = {},
): AsyncGenerator<GenerateStep> {
  const { eosTokenIds = [], promptIds = [], signal, recorded = true } = options;
  const { batch } = inputs.layout;
  const maxTokens = checkInputs(inputs, options);
  const draws = drawsOfRows(batch, options);
  for (const own of draws) checkSamplingOptions(own);
  const given = options.cache instanceof DecoderCache ? options.cache : undefined;
  const cache = given ?? decoder.createCache(batch, options.cache as CacheOptions | undefined);
  const path = openDecodePath(decoder, cache, { maxTokens: maxTokens - 1, recorded });
  const stopped = new Uint8Array(batch);
  const said = Array.from({ length: batch }, (_, row) => new Set(Array.from(promptIds[row] ?? [])));
  try {
    let logits = await prefillLogits(decoder, inputs, cache, options);
    for (let produced = 1; produced <= maxTokens; produced++) {
      const chosen = chooseTokens(logits, said, draws);
      const tokens = chosen.map((token, row) => (stopped[row] ? -1 : token));
      yield { tokens, logits, cache, decodedBy: path.decodedBy };
      for (let row = 0; row < batch; row++) {
        said[row]!.add(chosen[row]!);
        if (eosTokenIds.includes(chosen[row]!)) stopped[row] = 1;
      }
      if (produced === maxTokens || stopped.every((flag) => flag === 1)) return;
      signal?.throwIfAborted();
      const positions = inputs.nextPositions.map((position) => position + produced - 1);
      logits = await path.logits(chosen, positions);
      await yieldToEventLoop();
      signal?.throwIfAborted();
    }
  } finally {
    if (!given) cache.dispose();
    path.close();
  }
}

/**
 * What would otherwise go wrong only after the prefill, or without a word.
 * @returns how many tokens there may be a row.
 * @throws RangeError
 */
function checkInputs({ layout, nextPositions }: GenerateInputs, options: GenerateOptions): number {
  const { maxTokens = 128, contextWindow = Number.POSITIVE_INFINITY, cache } = options;
  const { batch, length, kinds } = layout;
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) {
    throw new RangeError(`generate: maxTokens must be a positive integer, got ${maxTokens}.`);
  }
  if (nextPositions.length !== batch && nextPositions.length !== 3 * batch) {
    throw new RangeError(
      `generate: nextPositions must hold 1 or 3 positions for each of ${batch} rows, got ${nextPositions.length}.`,
    );
  }
  for (let row = 0; row < batch; row++) {
    if (kinds[(row + 1) * length - 1] !== PADDING) continue;
    throw new RangeError(
      `generate: prompts must be left-padded and hold a token, got padding at the end of row ${row}.`,
    );
  }
  const before = cache instanceof DecoderCache ? cache.lengths : new Int32Array(batch);
  const positions = sequencePositions(layout, before);
  const lengths = Array.from(before, (_, row) => positions[(row + 1) * length - 1]! + 1);
  const longest = Math.max(...lengths);
  if (longest >= contextWindow) throw new ContextFullError('generate', longest, contextWindow);
  return Math.min(maxTokens, contextWindow - longest);
}

/** The sampling options of each row, with random numbers of its own where there is a seed. */
function drawsOfRows(batch: number, { seed, ...options }: GenerateOptions): SamplingOptions[] {
  return Array.from({ length: batch }, () =>
    seed === undefined ? options : { ...options, random: seededRandom(seed) },
  );
}

function chooseTokens(
  logits: Float32Array,
  said: readonly ReadonlySet<number>[],
  draws: readonly SamplingOptions[],
): Int32Array {
  const vocabulary = logits.length / said.length;
  return Int32Array.from(said, (tokens, row) => {
    const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
    return sampleToken(own, draws[row], tokens);
  });
}
