import { openSafetensors, readRankFile } from '@mha2mla/checkpoint';
import { assertWritableTarget, fileSource } from '@mha2mla/checkpoint/node';
import type { ModelInputs, VlmSource } from '@mha2mla/vlm-adapters';
import { type Command, Option } from 'commander';
import type { ConversionReport } from '../../convert/conversion-report';
import { convertModel } from '../../convert/convert-model';
import { type ConvertOptions, planConversion } from '../../convert/convert-options';
import { calibrationBatches, readCalibrationFile } from '../../data/calibration-samples';
import { fileDigest } from '../../node/file-digest';
import { folderOutput } from '../../node/folder-output';
import { loadQuestions } from '../../node/load-data';
import { modelDigest, openModelFolder } from '../../node/open-model';
import { useBackend } from '../../node/register-backends';
import { resumeCommand } from '../../node/resume-command';
import { integer } from '../option-values';
import type { AddCommand } from '../program';
import { addCacheOptions, addRunOptions, type CacheFlags, type RunFlags } from '../shared-options';
import { asUsage, UsageError } from '../usage-error';

interface Flags extends RunFlags, CacheFlags {
  strategy: NonNullable<ConvertOptions['strategy']>;
  ropeDim?: number;
  uniformStart: number;
  unrotate?: ConvertOptions['unrotate'];
  rank?: number;
  groups: number;
  factor: NonNullable<ConvertOptions['factor']>;
  init: NonNullable<ConvertOptions['init']>;
  decouple: boolean;
  calibration?: string;
  samples: number;
  propagate: NonNullable<ConvertOptions['propagate']>;
  ranks?: string;
  dtype?: 'bf16' | 'f16' | 'f32';
  resume?: boolean;
  json?: boolean;
}

/** `convert MODEL OUT`: the whole conversion, layer by layer. */
export const addConvert: AddCommand = (program, contextOf) => {
  addOptions(program.command('convert <model> <out>'))
    .description('turn the attention of a model into multi-head latent attention')
    .addHelpText(
      'after',
      '\nExample:\n  mha2mla convert MODEL OUT --rank 64 --calibration calibration.jsonl',
    )
    .action(async (folder: string, out: string, flags: Flags) => {
      const { terminal, signal, result, resumeLine } = contextOf(flags);
      await assertWritableTarget(out, { resume: flags.resume });
      const { source, close } = await openModelFolder(folder);
      try {
        const options = await convertOptions(flags);
        const plan = asUsage(() => planConversion(source.config.decoder, options));
        if (plan.needsCalibration && flags.calibration === undefined) {
          throw new UsageError(
            'convert: --calibration DATA is needed by --strategy mkl and --init activations, got none. Give samples, or use --strategy high --init weights.',
          );
        }
        await useBackend(flags.backend);
        const calibration = plan.needsCalibration ? await loadCalibration(source, flags) : [];
        const output = await folderOutput(out, {
          resume: flags.resume ?? false,
          fingerprint: await fingerprintOf(source, flags, options),
        });
        resumeLine(resumeCommand());
        try {
          const report = await convertModel(source, output, {
            ...options,
            calibration,
            signal,
            onProgress: terminal.progress,
          });
          result(documentOf(report), () => describe(report));
        } finally {
          await output.close();
        }
      } finally {
        await close();
      }
    });
};

function addOptions(command: Command): Command {
  const choice = (flag: string, description: string, values: string[]) =>
    new Option(flag, description).choices(values);
  return addCacheOptions(addRunOptions(command))
    .addOption(
      choice('--strategy <name>', 'how rotary pairs are chosen', [
        'mkl',
        'high',
        'low',
        'uniform',
      ]).default('mkl'),
    )
    .option('--rope-dim <n>', 'dims a head that keep RoPE, even (default a quarter)', integer(0))
    .option('--uniform-start <n>', 'first pair of --strategy uniform', integer(0), 0)
    .addOption(
      choice('--unrotate <form>', 'what takes the place of a rotation (default fitted with mkl)', [
        'fitted',
        'plain',
      ]),
    )
    .option(
      '--rank <n>',
      'latent dims a KV head; with --factor split, for K and V each',
      integer(1),
    )
    .option('--groups <n>', 'latents cut by KV heads', integer(1), 1)
    .addOption(
      choice('--factor <form>', 'what shares a latent', [
        'joint',
        'split',
        'key',
        'value',
        'none',
      ]).default('joint'),
    )
    .addOption(
      choice('--init <form>', 'what factors are fitted to', ['weights', 'activations']).default(
        'activations',
      ),
    )
    .option('--no-decouple', 'one latent for both modalities')
    .option('--calibration <file>', 'DATA, or a pre-tokenised safetensors file')
    .option('--samples <n>', 'most calibration samples', integer(1), 128)
    .addOption(
      choice('--propagate <form>', 'what the next layer is calibrated on', [
        'original',
        'rope',
        'converted',
      ]).default('converted'),
    )
    .option('--ranks <file>', 'a given rank file, .safetensors or the .pth of the reference')
    .addOption(choice('--dtype <type>', 'stored precision', ['bf16', 'f16', 'f32']))
    .option('--resume', 'go on with an unfinished run');
}

async function convertOptions(flags: Flags): Promise<ConvertOptions> {
  const { strategy, ropeDim, uniformStart, unrotate, rank, groups, factor, init, propagate } =
    flags;
  return {
    strategy,
    ropeDim,
    uniformStart,
    unrotate,
    rank,
    groups,
    factor,
    init,
    propagate,
    decouple: flags.decouple,
    dtype: flags.dtype?.toUpperCase() as ConvertOptions['dtype'],
    cache: { kvBits: flags.kvBits, ropeBits: flags.ropeBits },
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

async function loadCalibration(source: VlmSource, flags: Flags): Promise<ModelInputs[]> {
  const processor = await source.family.loadProcessor(source.config, source.store);
  const path = flags.calibration!;
  if (!path.endsWith('.safetensors')) {
    return calibrationBatches(processor, await loadQuestions(path, flags.samples));
  }
  const file = await fileSource(path, path);
  try {
    return await readCalibrationFile(processor, await openSafetensors(file), flags.samples);
  } finally {
    await file.close();
  }
}

/** What decides the result, by the names that the user knows. */
async function fingerprintOf(source: VlmSource, flags: Flags, options: ConvertOptions) {
  const { ranks: _, ...plain } = options;
  return {
    command: 'convert',
    model: modelDigest(source),
    options: plain,
    samples: flags.samples,
    ranks: flags.ranks && (await fileDigest(flags.ranks)),
    calibration: flags.calibration && (await fileDigest(flags.calibration)),
  };
}

function documentOf(report: ConversionReport): Record<string, unknown> {
  const { layers, cacheBytesPerToken } = report;
  return {
    ...report,
    layers: layers.map(({ layer, vision, text, ...rest }) => ({
      layer,
      relativeError: { vision: vision?.relativeError, text: text?.relativeError },
      vision,
      text,
      ...rest,
    })),
    cacheBytesPerToken,
  };
}

function describe({ layers, cacheBytesPerToken }: ConversionReport): string {
  const side = (
    name: string,
    part: { retainedEnergy: number; relativeError: number } | undefined,
  ) =>
    part
      ? `  ${name} ${(100 * part.retainedEnergy).toFixed(2)} % kept, error ${part.relativeError.toFixed(4)}`
      : '';
  const { original, converted } = cacheBytesPerToken;
  return [
    ...layers.map(
      ({ layer, vision, text }) => `layer ${layer}${side('vision', vision)}${side('text', text)}`,
    ),
    `cache ${original} -> ${converted} bytes a token (${((100 * converted) / original).toFixed(1)} %)`,
  ].join('\n');
}
