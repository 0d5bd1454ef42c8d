import { assertWritableTarget } from '@mha2mla/checkpoint/node';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { Command } from 'commander';
import { assertUnfactored } from '../../convert/assert-unfactored';
import type { ConversionReport } from '../../convert/conversion-report';
import { convertModel } from '../../convert/convert-model';
import { planConversion } from '../../convert/plan-conversion';
import { sharesOut } from '../../convert/plan-ranks';
import { rankFileOf } from '../../convert/rank-file-of';
import { spreadConversion } from '../../jobs/spread-conversion';
import { factorPool } from '../../node/factor-pool';
import { folderOutput } from '../../node/folder-output';
import { withModelFolder } from '../../node/open-model';
import { useBackend } from '../../node/register-backends';
import { spillHidden } from '../../node/spill-hidden';
import { type CandidateCheck, candidateCheck } from '../candidate-check';
import type { Context } from '../context';
import { describeSpending } from '../describe-spending';
import { engineOf } from '../engine-options';
import { loadCalibration } from '../load-calibration';
import type { AddCommand } from '../program';
import { assertRanksPlace, saveRanks } from '../save-ranks';
import { asUsage, UsageError } from '../usage-error';
import { withSpread } from '../with-spread';
import { describeDryRun, measureDryRun } from './convert-dry-run';
import {
  addConvertOptions,
  type ConvertFlags,
  convertFingerprint,
  convertOptions,
} from './convert-flags';

/** `convert MODEL OUT`: the whole conversion, layer by layer. */
export const addConvert: AddCommand = (program, contextOf) => {
  addConvertOptions(program.command('convert <model> <out>'))
    .description('turn the attention of a model into multi-head latent attention')
    .addHelpText(
      'after',
      '\nExample:\n  mha2mla convert MODEL OUT --rank 64 --calibration calibration.jsonl\n\nMODEL may be what --factor none has made, healed or not; it keeps its rotary pairs.',
    )
    .action(async (folder: string, out: string, flags: ConvertFlags, command: Command) => {
      const began = performance.now();
      const context = contextOf(flags);
      const { resume = false } = flags;
      const aboveBytes = flags.spillAbove * 2 ** 20;
      await assertWritableTarget(out, { resume });
      if (flags.saveRanks !== undefined) await assertRanksPlace(flags.saveRanks);
      await withModelFolder(folder, {}, async (source) => {
        const chosen = await convertOptions(flags);
        asUsage(() => assertUnfactored(source));
        const plan = asUsage(() => planConversion(source.config.decoder, chosen));
        const searches = chosen.spend === 'auto';
        const alone = searches ? '--spend auto' : flags.dryRun ? '--dry-run' : undefined;
        const hint = 'Leave it out, and give what is found.';
        const engine = engineOf(command, flags, { alone, hint }, context);
        if (flags.dryRun && searches) {
          throw new UsageError(
            'convert: --dry-run needs bits that are known, got --spend auto. Give --kv-bits and --rope-bits.',
          );
        }
        const calibration = plan.needsCalibration
          ? await loadCalibration(source, calibrationFile(flags), flags.samples, context)
          : [];
        const { ask, unchecked } = searches
          ? await candidateCheck(source, calibrationFile(flags), flags, context)
          : ({} as CandidateCheck);
        const backend = await useBackend(flags.backend);
        const options = {
          ...chosen,
          ask,
          calibration,
          factorize: factorPool({ workers: flags.workers }),
          signal: context.signal,
        };
        if (flags.dryRun) {
          const found = await measureDryRun(source, { ...options, out, aboveBytes, began });
          context.result(found, () => describeDryRun(found));
          return;
        }
        const fingerprint = await convertFingerprint(source, flags, chosen);
        const output = await folderOutput(out, { resume, fingerprint, began });
        const hidden = spillHidden({ folder: output.path, aboveBytes });
        try {
          context.resumable();
          const phase = searches ? 'search' : sharesOut(plan) ? 'measure' : 'convert';
          if (engine === undefined) showStart(context, source, phase);
          const { progress: onProgress } = context.terminal;
          const setting = { folder, beside: out, backend, fingerprint };
          const report = engine
            ? await withSpread(
                source,
                { ...setting, flags: { ...flags, engine } },
                context,
                (spread) => spreadConversion(source, output, { ...chosen, calibration, ...spread }),
              )
            : await convertModel(source, output, {
                ...{ ...options, keepHidden: hidden.keep, onProgress },
              });
          if (flags.saveRanks !== undefined) {
            const { headDim } = source.config.decoder;
            await saveRanks(flags.saveRanks, rankFileOf(report.layers, headDim));
          }
          context.result(documentOf(report), () => describe(report, unchecked));
        } finally {
          await hidden.close();
          await output.close();
        }
      });
    });
};

function showStart({ terminal }: Context, { config }: VlmSource, phase: string): void {
  terminal.progress({ phase, loaded: 0, total: config.decoder.numHiddenLayers });
}

function calibrationFile({ calibration }: ConvertFlags): string {
  if (calibration !== undefined) return calibration;
  throw new UsageError(
    'convert: --calibration DATA is needed by --strategy mkl, norm2 and greedy, --unrotate fitted, --init activations, --allocation measured and --kv-method static and bands, got none. Give samples, or use --strategy high --init weights.',
  );
}

function documentOf(report: ConversionReport): Record<string, unknown> {
  const layers = report.layers.map(({ layer, vision, text, ...rest }) => ({
    layer,
    relativeError: { vision: vision?.relativeError, text: text?.relativeError },
    vision,
    text,
    ...rest,
  }));
  return { ...report, layers };
}

function describe(report: ConversionReport, unchecked?: string): string {
  const { layers, cacheBytesPerToken, spending, options } = report;
  const side = (
    name: string,
    part: { retainedEnergy: number; relativeError: number } | undefined,
  ) =>
    part
      ? `  ${name} ${(100 * part.retainedEnergy).toFixed(2)} % kept, error ${part.relativeError.toFixed(4)}`
      : '';
  const { original, converted } = cacheBytesPerToken;
  const groups = Number(options.groups) > 1 ? `, latents in ${options.groups} groups` : '';
  return [
    ...(spending ? [describeSpending(spending, options.allocation, unchecked)] : []),
    ...layers.map(
      ({ layer, vision, text }) => `layer ${layer}${side('vision', vision)}${side('text', text)}`,
    ),
    `cache ${original} -> ${converted} bytes a token (${((100 * converted) / original).toFixed(1)} %)${groups}`,
  ].join('\n');
}
