/**
 * Prefill and decode of decoders over contexts of given lengths, in llama-bench's form: each test on
 * the same random tokens for all arms, by turns, after a round that is not counted. Tokenization,
 * vision tower and sampling are left out; logits are read back, as generation does.
 */
import {
  type CacheOptions,
  type Decoder,
  type DecoderCache,
  prefillLogits,
  readValues,
  yieldToEventLoop,
} from '@mha2mla/mla-runtime';
import { type SpeedTrace, speedTrace, traceLayout } from './speed-trace';

export interface SpeedArm {
  name: string;
  decoder: Decoder;
  cache?: CacheOptions;
}

export interface SpeedOptions {
  /** Tokens that the cache holds before each test. */
  depths: readonly number[];
  /** Tokens of a prompt; 0 for none. */
  prefill: number;
  /** Tokens that are decoded, one by one; 0 for none. */
  decode: number;
  /** Counted rounds. Default 5. */
  repetitions?: number;
  /** Share of vision tokens among what is cached and prefilled. Default 0.75. */
  vision?: number;
  seed?: number;
  signal?: AbortSignal;
  onProgress?: (progress: { phase: 'bench'; loaded: number; total: number }) => void;
}

export interface SpeedResult {
  /** As llama-bench names them: `pp512`, `tg128 @ d4096`. */
  test: string;
  kind: 'prefill' | 'decode';
  tokens: number;
  depth: number;
  arm: string;
  /** Tokens a second of each round. */
  samples: number[];
  mean: number;
  /** Of a sample; 0 for a single one. */
  deviation: number;
}

/**
 * @returns a result a test and arm, arms of a test side by side.
 * @throws RangeError for options out of range, before any work; the signal's reason when aborted.
 */
export async function measureSpeed(
  arms: readonly SpeedArm[],
  options: SpeedOptions,
): Promise<SpeedResult[]> {
  const { depths, prefill, decode, repetitions = 5, vision = 0.75, seed = 0 } = options;
  checkOptions(arms, { ...options, repetitions, vision });
  const vocabSize = Math.min(...arms.map(({ decoder }) => decoder.config.vocabSize));
  const longest = Math.max(...depths) + Math.max(prefill, decode);
  const trace = speedTrace(longest, { vocabSize, vision, seed });
  const tests = [
    { kind: 'prefill' as const, tokens: prefill },
    { kind: 'decode' as const, tokens: decode },
  ].filter(({ tokens }) => tokens > 0);
  const results: SpeedResult[] = [];
  const total = depths.length * tests.length * (repetitions + 1);
  let loaded = 0;
  for (const depth of depths) {
    const filled: Filled[] = [];
    try {
      for (const arm of arms) filled.push(await fill(arm, trace, depth, options.signal));
      for (const { kind, tokens } of tests) {
        const samples = filled.map((): number[] => []);
        for (let round = 0; round <= repetitions; round++) {
          for (const [i, one] of filled.entries()) {
            const run = kind === 'prefill' ? runPrefill : runDecode;
            const started = performance.now();
            await run(one, trace, depth, tokens, options.signal);
            const seconds = (performance.now() - started) / 1000;
            one.cache.rewind([depth]);
            if (round > 0) samples[i]!.push(tokens / seconds);
          }
          options.onProgress?.({ phase: 'bench', loaded: ++loaded, total });
        }
        const test = `${kind === 'prefill' ? 'pp' : 'tg'}${tokens}${depth > 0 ? ` @ d${depth}` : ''}`;
        for (const [i, { name: arm }] of filled.entries()) {
          results.push({ test, kind, tokens, depth, arm, ...summarise(samples[i]!) });
        }
      }
    } finally {
      for (const { cache } of filled) cache.dispose();
    }
  }
  return results;
}

interface Filled extends Omit<SpeedArm, 'cache'> {
  /** Holds the trace up to the depth; the caller disposes it. */
  cache: DecoderCache;
}

async function fill(
  arm: SpeedArm,
  trace: SpeedTrace,
  depth: number,
  signal?: AbortSignal,
): Promise<Filled> {
  const cache = arm.decoder.createCache(1, arm.cache);
  const filled = { ...arm, cache };
  try {
    if (depth > 0) await runPrefill(filled, trace, 0, depth, signal);
    return filled;
  } catch (error) {
    cache.dispose();
    throw error;
  }
}

/** Up to the logits of the last token. */
async function runPrefill(
  { decoder, cache }: Filled,
  trace: SpeedTrace,
  start: number,
  tokens: number,
  signal?: AbortSignal,
): Promise<void> {
  const end = start + tokens;
  const inputsEmbeds = decoder.embed(trace.ids.slice(start, end), [1, tokens]);
  const layout = traceLayout(trace, start, end);
  const positionIds = positionsOf(decoder, start, end);
  try {
    await prefillLogits(decoder, { inputsEmbeds, layout, positionIds }, cache, { signal });
  } finally {
    inputsEmbeds.dispose();
  }
}

async function runDecode(
  { decoder, cache }: Filled,
  { ids }: SpeedTrace,
  start: number,
  tokens: number,
  signal?: AbortSignal,
): Promise<void> {
  for (let at = start; at < start + tokens; at++) {
    const logits = decoder.decode(ids.slice(at, at + 1), positionsOf(decoder, at, at + 1), cache);
    await readValues(logits).finally(() => logits.dispose());
    await yieldToEventLoop();
    signal?.throwIfAborted();
  }
}

function positionsOf({ config }: Decoder, start: number, end: number): Int32Array {
  const axes = config.mropeSection ? 3 : 1;
  const length = end - start;
  return Int32Array.from({ length: axes * length }, (_, i) => start + (i % length));
}

function summarise(samples: number[]): Pick<SpeedResult, 'samples' | 'mean' | 'deviation'> {
  const mean = samples.reduce((sum, one) => sum + one, 0) / samples.length;
  const squares = samples.reduce((sum, one) => sum + (one - mean) ** 2, 0);
  return { samples, mean, deviation: Math.sqrt(squares / Math.max(1, samples.length - 1)) };
}

function checkOptions(
  arms: readonly SpeedArm[],
  {
    depths,
    prefill,
    decode,
    repetitions,
    vision,
  }: SpeedOptions & { repetitions: number; vision: number },
): void {
  const isCount = (value: number, least: number) => Number.isSafeInteger(value) && value >= least;
  if (arms.length === 0 || depths.length === 0) {
    throw new RangeError(
      `measureSpeed: expected arms and depths, got ${arms.length} and ${depths.length}.`,
    );
  }
  for (const [name, value] of [
    ...depths.map((depth) => ['depths', depth] as const),
    ['prefill', prefill] as const,
    ['decode', decode] as const,
  ]) {
    if (!isCount(value, 0)) {
      throw new RangeError(`measureSpeed: ${name} must be integers of at least 0, got ${value}.`);
    }
  }
  if (prefill + decode === 0 || !isCount(repetitions, 1)) {
    throw new RangeError(
      `measureSpeed: prefill or decode, and repetitions must be above 0, got ${prefill}, ${decode}, ${repetitions}.`,
    );
  }
  if (!(vision >= 0 && vision <= 1)) {
    throw new RangeError(`measureSpeed: vision must lie in [0, 1], got ${vision}.`);
  }
}
