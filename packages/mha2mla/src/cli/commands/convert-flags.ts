/** The options of `convert`. */
import { readRankFile } from '@mha2mla/checkpoint';
import { fileSource } from '@mha2mla/checkpoint/node';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import { type Command, Option } from 'commander';
import { CONVERT_CHOICES, type ConvertOptions } from '../../convert/convert-options';
import { fileDigest } from '../../node/file-digest';
import { modelDigest } from '../../node/open-model';
import { givenCache } from '../cache-setting';
import type { CommonFlags } from '../context';
import { convertChoice } from '../convert-choice';
import { addEngineOptions, type EngineFlags } from '../engine-options';
import { flagName } from '../flag-name';
import { countsBySection, integer, nonNegative, orAuto, positive } from '../option-values';
import { addCacheOptions, addRunOptions, type CacheFlags, type RunFlags } from '../shared-options';

export interface ConvertFlags extends RunFlags, CacheFlags, EngineFlags, CommonFlags {
  strategy?: ConvertOptions['strategy'];
  mklVariant?: ConvertOptions['mklVariant'];
  mklSplit?: ConvertOptions['mklSplit'];
  visionWeight?: number;
  sectionQuotas?: ConvertOptions['sectionQuotas'];
  ropeDim?: number;
  uniformStart?: number;
  unrotate?: ConvertOptions['unrotate'];
  rank?: number;
  kvBudget?: number;
  spend?: ConvertOptions['spend'];
  check: boolean;
  allocation?: ConvertOptions['allocation'];
  groups: NonNullable<ConvertOptions['groups']>;
  hadamard?: number;
  factor: NonNullable<ConvertOptions['factor']>;
  init: NonNullable<ConvertOptions['init']>;
  center?: boolean;
  route: NonNullable<ConvertOptions['route']>;
  decouple: boolean;
  calibration?: string;
  samples: number;
  propagate: NonNullable<ConvertOptions['propagate']>;
  ranks?: string;
  saveRanks?: string;
  videoAsText?: boolean;
  layout: NonNullable<ConvertOptions['layout']>;
  dtype?: 'bf16' | 'f16' | 'f32';
  spillAbove: number;
  dryRun?: boolean;
  resume?: boolean;
}

export function addConvertOptions(command: Command): Command {
  return addEngineOptions(addCacheOptions(addRunOptions(command)))
    .addOption(convertChoice('strategy', 'name', 'how rotary pairs are chosen (default mkl)'))
    .addOption(
      convertChoice(
        'mklVariant',
        'form',
        'what mkl takes: the rotation, or the pair (default unrotate)',
      ),
    )
    .addOption(
      convertChoice('mklSplit', 'by', 'whose modality tells divergences apart (default rows)'),
    )
    .option('--vision-weight <w>', 'weight of vision in mkl, 0 to 1 (default 0.5)', nonNegative(1))
    .option(
      '--section-quotas <t,h,w>',
      'pairs to keep of each M-RoPE section, or proportional',
      countsBySection,
    )
    .option('--rope-dim <n>', 'dims a head that keep RoPE, even (default a quarter)', integer(0))
    .option(
      '--uniform-start <n>',
      'first pair of --strategy uniform, in each section (default 0)',
      integer(0),
    )
    .addOption(
      convertChoice(
        'unrotate',
        'form',
        'what takes the place of a rotation (default fitted with scores)',
      ),
    )
    .option(
      '--rank <n>',
      'latent dims a KV head; with --factor split, for K and V each',
      integer(1),
    )
    .option(
      '--kv-budget <share>',
      "share of the original cache's bytes; ranks are chosen, and rotary dims lowered where they would take half of it",
      positive(1),
    )
    .addOption(
      convertChoice(
        'spend',
        'on',
        'what --kv-budget buys: rank at the bits of --kv-bits (default), or rank or bits, as a search on --calibration finds better',
      ),
    )
    .option('--no-check', 'let --spend auto predict only, and not ask its best three candidates')
    .addOption(
      convertChoice(
        'allocation',
        'form',
        'how --kv-budget is shared by layers and modalities (default measured up to 0.375, with as many KV heads as heads up to 0.15)',
      ),
    )
    .option(
      '--groups <n>',
      "latents cut by KV heads, or auto: where a quarter of the cache or more is left, as few as let a processor decode in 1.2 times the original's time",
      orAuto(integer(1)),
      'auto',
    )
    .option(
      '--hadamard <n>',
      'turn latents in blocks of at most n channels (a power of two), for caches of few bits',
      integer(2),
    )
    .addOption(convertChoice('factor', 'form', 'what shares a latent').default('joint'))
    .addOption(convertChoice('init', 'form', 'what factors are fitted to').default('activations'))
    .option('--center', 'factor activations less their mean, which goes to the biases')
    .addOption(
      convertChoice(
        'route',
        'name',
        'how factors are found; subspace: by products on the device, where latents are a quarter of what they hold or less; it pays with tensorflow or a GPU',
      ).default('exact'),
    )
    .option('--no-decouple', 'one latent for both modalities')
    .option('--calibration <file>', 'DATA, or a pre-tokenised safetensors file')
    .option('--samples <n>', 'most calibration samples', integer(1), 128)
    .addOption(
      convertChoice('propagate', 'form', 'what the next layer is calibrated on').default(
        'converted',
      ),
    )
    .option('--ranks <file>', 'a given rank file, .safetensors or the .pth of the reference')
    .option('--save-ranks <file>', 'write the ranks that were used, .safetensors or .pth')
    .option('--video-as-text', 'video tokens take the text branch, as the reference has it')
    .addOption(
      convertChoice(
        'layout',
        'form',
        'keys and files: ours, or what the Python reference loads',
      ).default('extended'),
    )
    .addOption(
      new Option('--dtype <type>', 'stored precision').choices(
        CONVERT_CHOICES.dtype.map((name) => name.toLowerCase()),
      ),
    )
    .option(
      '--workers <n>',
      'threads that factor a layer, or with --engine threads do jobs (default one a core, as far as 3 GiB hold their jobs)',
      integer(1),
    )
    .option(
      '--spill-above <MiB>',
      'hidden states of samples beyond this size lie on disk',
      integer(0),
      1024,
    )
    .option('--dry-run', 'tell time, memory and disk from one layer, and write nothing')
    .option('--resume', 'go on with an unfinished run');
}

export async function convertOptions(flags: ConvertFlags): Promise<ConvertOptions> {
  const { strategy, ropeDim, uniformStart, unrotate, rank, kvBudget, groups, factor, init } = flags;
  const { mklVariant, mklSplit, visionWeight, sectionQuotas, allocation, hadamard, spend } = flags;
  return {
    ...{ mklVariant, mklSplit, visionWeight, sectionQuotas, allocation, hadamard, spend },
    ...{ strategy, ropeDim, uniformStart, unrotate, rank, kvBudget, groups, factor, init },
    propagate: flags.propagate,
    videoAsText: flags.videoAsText,
    layout: flags.layout,
    center: flags.center,
    route: flags.route,
    decouple: flags.decouple,
    dtype: flags.dtype?.toUpperCase() as ConvertOptions['dtype'],
    cache: givenCache(flags),
    ...(flags.ranks !== undefined && { ranks: await readRanks(flags.ranks) }),
  };
}

async function readRanks(path: string): Promise<Uint8Array> {
  const source = await fileSource(path, path);
  try {
    return (await readRankFile(source)).ranks;
  } finally {
    await source.close();
  }
}

/** What decides the result, by the names that the user knows. */
export async function convertFingerprint(
  source: VlmSource,
  { samples, ranks, calibration, check }: ConvertFlags,
  { ranks: _, cache, ...options }: ConvertOptions,
): Promise<Record<string, unknown>> {
  const named = Object.entries({ ...options, ...cache, samples }).map(([name, value]) => [
    flagName(name),
    value,
  ]);
  return {
    command: 'convert',
    MODEL: modelDigest(source),
    ...Object.fromEntries(named),
    ...(options.spend === 'auto' && { '--no-check': !check }),
    '--ranks': ranks && (await fileDigest(ranks)),
    '--calibration': calibration && (await fileDigest(calibration)),
  };
}
