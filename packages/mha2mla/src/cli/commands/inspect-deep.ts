/** `inspect --deep`: what a conversion would cost, by layer, with alarms in words. */
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { Command } from 'commander';
import type { ConvertOptions } from '../../convert/convert-options';
import { planConversion } from '../../convert/plan-conversion';
import { assertOriginal } from '../../diagnose/assert-original';
import { diagnoseModel } from '../../diagnose/diagnose-model';
import type { Diagnosis, LayerDiagnosis, ModalityDiagnosis } from '../../diagnose/diagnosis';
import { factorPool } from '../../node/factor-pool';
import { useBackend } from '../../node/register-backends';
import type { CommonFlags, Context } from '../context';
import { convertChoice } from '../convert-choice';
import { flagName } from '../flag-name';
import { loadCalibration } from '../load-calibration';
import { integer, positive } from '../option-values';
import { addRunOptions, type RunFlags } from '../shared-options';
import { asUsage, UsageError } from '../usage-error';

export interface DeepFlags extends RunFlags, CommonFlags {
  deep?: boolean;
  data?: string;
  samples?: number;
  rank?: number;
  kvBudget?: number;
  allocation?: ConvertOptions['allocation'];
  ropeDim?: number;
  strategy?: ConvertOptions['strategy'];
  init?: ConvertOptions['init'];
}

/** Of the original's bytes, where neither a budget nor a rank is given. */
const BUDGET = 0.25;
const SAMPLES = 128;

export function addDeepOptions(command: Command): Command {
  return addRunOptions(
    command
      .option('--deep', 'predict what a conversion would cost; needs --data, writes nothing')
      .option('--data <file>', 'DATA to calibrate on, or a pre-tokenised safetensors file')
      .option('--samples <n>', `most calibration samples (default ${SAMPLES})`, integer(1))
      .option(
        '--kv-budget <share>',
        `share of the original cache's bytes (default ${BUDGET})`,
        positive(1),
      )
      .addOption(convertChoice('allocation', 'form', 'as in convert'))
      .option('--rank <n>', 'latent dims a KV head, in place of a budget', integer(1))
      .option('--rope-dim <n>', 'as in convert', integer(0))
      .addOption(convertChoice('strategy', 'name', 'as in convert'))
      .addOption(convertChoice('init', 'form', 'as in convert')),
  );
}

/** @returns `undefined` where only headers are asked for. */
export async function inspectDeep(
  source: VlmSource,
  flags: DeepFlags,
  context: Context,
): Promise<Diagnosis | undefined> {
  const { deep, data, samples, rank, kvBudget, allocation, ropeDim, strategy, init } = flags;
  const asked = { data, samples, rank, kvBudget, allocation, ropeDim, strategy, init };
  if (!deep) {
    const [stray] = Object.entries(asked).find(([, value]) => value !== undefined) ?? [];
    if (stray === undefined) return undefined;
    throw new UsageError(`inspect: ${flagName(stray)} needs --deep, got none.`);
  }
  if (data === undefined) {
    throw new UsageError('inspect: --deep needs --data DATA to calibrate on, got none.');
  }
  const options: ConvertOptions = {
    ...{ strategy, init, ropeDim, rank, allocation },
    kvBudget: kvBudget ?? (rank === undefined ? BUDGET : undefined),
  };
  asUsage(() => {
    assertOriginal(source.config);
    planConversion(source.config.decoder, options);
  });
  const calibration = await loadCalibration(source, data, samples ?? SAMPLES, context);
  await useBackend(flags.backend);
  const { signal, terminal } = context;
  const total = source.config.decoder.numHiddenLayers;
  terminal.progress({ phase: 'diagnose', loaded: 0, total });
  return diagnoseModel(source, {
    ...{ ...options, calibration, signal, onProgress: terminal.progress },
    factorize: factorPool({ workers: 1 }),
  });
}

/** A table, and what is alarming. */
export function describeDiagnosis(diagnosis: Diagnosis): string {
  const { layers, alarms, ropeDim, cacheBytesPerToken } = diagnosis;
  const { original, converted } = cacheBytesPerToken;
  const share = ((100 * converted) / original).toFixed(1);
  return [
    '',
    `a conversion to ${converted} bytes a token (${share} %), ${ropeDim} rotary dims a head, would cost before healing:`,
    ...columns([HEAD, ...layers.flatMap(rowsOf)]),
    '',
    ...(alarms.length === 0 ? ['nothing alarming'] : alarms.map(({ message }) => `! ${message}`)),
  ].join('\n');
}

const HEAD = [
  ...['layer', 'tokens', 'rank', 'dropped', 'error', 'seen', 'eff. rank', 'condition'],
  ...['sink', 'largest norm', 'key bias'],
];

function rowsOf({ layer, vision, text, sink, keyBias }: LayerDiagnosis): string[][] {
  const ofLayer = [
    sink ? `${percent(sink.attentionShare)} at ${sink.position}` : '',
    sink ? `${sink.largestNorm.toFixed(1)}x` : '',
    keyBias ? `${keyBias.norm.toPrecision(3)} (${keyBias.ratio?.toFixed(1) ?? '-'}x)` : '',
  ];
  const row = (name: string, part: ModalityDiagnosis, more: string[]) => [
    ...[`${layer}`, name, `${part.rank}`, percent(part.tailEnergy)],
    ...[part.relativeError.toFixed(4), `${part.tokens}`, ...momentOf(part), ...more],
  ];
  return [
    ...(vision ? [row('vision', vision, ofLayer)] : []),
    ...(text ? [row('text', text, vision ? ['', '', ''] : ofLayer)] : []),
  ];
}

function momentOf({ moment }: ModalityDiagnosis): [effectiveRank: string, condition: string] {
  if (!moment) return ['', ''];
  const { effectiveRank, condition } = moment;
  const ratio = condition === null ? 'singular' : (condition?.toExponential(1) ?? '');
  return [effectiveRank.toFixed(1), ratio];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function columns(rows: readonly string[][]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padStart(widths[i]!))
      .join('  ')
      .trimEnd(),
  );
}
