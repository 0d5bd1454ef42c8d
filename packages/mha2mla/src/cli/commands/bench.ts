import { loadDecoder } from '@mha2mla/mla-runtime';
import { assertFits, type VlmSource } from '@mha2mla/vlm-adapters';
import { measureSpeed, type SpeedArm, type SpeedResult } from '../../bench/measure-speed';
import { speedPlots } from '../../bench/speed-plots';
import { hostMemory } from '../../node/host-memory';
import { withModelFolder } from '../../node/open-model';
import { useBackend } from '../../node/register-backends';
import { assertPair } from '../assert-pair';
import { cacheSetting } from '../cache-setting';
import type { CommonFlags, Context } from '../context';
import { counts, integer, nonNegative } from '../option-values';
import type { AddCommand } from '../program';
import {
  addCacheOptions,
  addRunOptions,
  addWeightsOption,
  type CacheFlags,
  type RunFlags,
  type WeightFlags,
} from '../shared-options';
import { UsageError } from '../usage-error';

interface Flags extends RunFlags, CacheFlags, WeightFlags, CommonFlags {
  original?: string;
  pp: number;
  tg: number;
  depth: number[];
  repetitions: number;
  vision: number;
}

/** `bench MODEL`: prefill and decode against context length, converted beside original. */
export const addBench: AddCommand = (program, contextOf) => {
  addCacheOptions(addWeightsOption(addRunOptions(program.command('bench <model>'))))
    .description(
      'speed of prefill (pp) and decode (tg) over contexts of several lengths, on random tokens, by turns with the original where it is given.\nTokenization, pictures and sampling are not counted; positions beyond what the model was trained on are timed like others.',
    )
    .option(
      '--original <folder>',
      'the model that MODEL was converted of; --kv-bits and the like are not for its cache',
    )
    .option('--pp <n>', 'tokens of a prompt; 0 for none', integer(0), 512)
    .option('--tg <n>', 'tokens decoded; 0 for none', integer(0), 128)
    .option('--depth <lengths>', 'tokens cached before, as in 0,1024,4096', counts, [0, 1024, 4096])
    .option('--repetitions <n>', 'rounds counted, after one that is not', integer(1), 5)
    .option('--vision <share>', 'of vision tokens among those cached before', nonNegative(1), 0.75)
    .addHelpText('after', '\nExample:\n  mha2mla bench CONVERTED --original MODEL --depth 0,4096')
    .action((folder: string, flags: Flags) => {
      const context = contextOf(flags);
      if (flags.pp + flags.tg === 0) {
        throw new UsageError('bench: --pp or --tg must be above 0, got neither.');
      }
      return withModelFolder(folder, {}, (source) =>
        flags.original === undefined
          ? run(context, flags, { [nameOf(source)]: source })
          : withModelFolder(flags.original, {}, (original) => {
              assertPair('bench', '--original', source, original);
              return run(context, flags, { converted: source, original });
            }),
      );
    });
};

const nameOf = ({ config }: VlmSource) => (config.decoder.mla ? 'converted' : 'original');

async function run(
  { terminal, signal, result }: Context,
  flags: Flags,
  sources: Record<string, VlmSource>,
): Promise<void> {
  const backend = await useBackend(flags.backend);
  const arms: (SpeedArm & { cacheBytesPerToken: number })[] = [];
  try {
    for (const [name, source] of Object.entries(sources)) {
      const isOriginal = name === 'original' && flags.original !== undefined;
      const { cache, report } = cacheSetting(source, isOriginal ? {} : flags);
      const { weights = 'f32' } = flags;
      const memoryBytes = hostMemory(backend);
      assertFits(source, { weights, ...(memoryBytes && { memoryBytes }) });
      const options = { weights, signal, onProgress: terminal.progress };
      arms.push({
        ...{ name, cache },
        decoder: await loadDecoder(source.config.decoder, source.weights, options),
        cacheBytesPerToken: report.cacheBytesPerToken,
      });
    }
    const { pp: prefill, tg: decode, depth: depths, repetitions, vision, seed } = flags;
    const options = { prefill, decode, depths, repetitions, vision, seed };
    const onProgress = terminal.progress;
    const results = await measureSpeed(arms, { ...options, signal, onProgress });
    const bytes = Object.fromEntries(arms.map((arm) => [arm.name, arm.cacheBytesPerToken]));
    const document = {
      backend,
      weights: flags.weights ?? 'f32',
      ...options,
      cacheBytesPerToken: bytes,
      results,
      plots: speedPlots(results, bytes),
    };
    result(document, () => describe(backend, bytes, results));
  } finally {
    for (const { decoder } of arms) decoder.dispose();
  }
}

function describe(
  backend: string,
  bytes: Record<string, number>,
  results: readonly SpeedResult[],
): string {
  const rows = results.map(({ test, arm, mean, deviation }, i) => {
    const beside = results[i + 1];
    const ratio = beside?.test === test ? `  ${(mean / beside.mean).toFixed(2)} x` : '';
    return [
      test.padEnd(18),
      arm.padEnd(9),
      String(bytes[arm]).padStart(11),
      `${mean.toFixed(1)} ± ${deviation.toFixed(1)}`.padStart(20) + ratio,
    ].join('  ');
  });
  const head = [
    'test'.padEnd(18),
    'model'.padEnd(9),
    'bytes/token'.padStart(11),
    'tokens/s'.padStart(20),
  ];
  return [`backend ${backend}`, head.join('  '), ...rows].join('\n');
}
