import { resolve } from 'node:path';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import { type Command, Option } from 'commander';
import type { Question } from '../../data/question';
import { type EvaluateOptions, type Evaluation, evaluate } from '../../evaluate/evaluate';
import { spreadEvaluation } from '../../jobs/spread-evaluation';
import { fileDigest } from '../../node/file-digest';
import { loadQuestions } from '../../node/load-data';
import { withModelFolder } from '../../node/open-model';
import { useBackend } from '../../node/register-backends';
import { type CacheReport, cacheSetting } from '../cache-setting';
import type { CommonFlags, Context } from '../context';
import { addEngineOptions, type EngineFlags, engineOf } from '../engine-options';
import { integer } from '../option-values';
import { printableLine } from '../printable';
import type { AddCommand } from '../program';
import {
  type AdapterFlags,
  addAdapterOption,
  addCacheOptions,
  addMediaOptions,
  addRunOptions,
  addWeightsOption,
  type CacheFlags,
  type MediaFlags,
  type RunFlags,
  type WeightFlags,
} from '../shared-options';
import { withModel } from '../with-model';
import { withSpread } from '../with-spread';

interface Flags
  extends RunFlags,
    MediaFlags,
    AdapterFlags,
    CacheFlags,
    WeightFlags,
    EngineFlags,
    CommonFlags {
  limit?: number;
  batch: number;
  maxTokens: number;
}

/** `eval MODEL DATA`: greedy answers against the reference answers. */
export const addEval: AddCommand = (program, contextOf) => {
  const command = addWeightsOption(addRunOptions(program.command('eval <model> <data>')));
  addEngineOptions(addCacheOptions(addMediaOptions(addAdapterOption(command))))
    .description('greedy answers against the reference answers')
    .addOption(
      new Option('--metric <name>', 'how answers are scored').choices(['exact']).default('exact'),
    )
    .option('--workers <n>', 'threads of --engine threads (default one a core)', integer(1))
    .option('--limit <n>', 'most questions', integer(1))
    .option('--batch <n>', 'questions that run together', integer(1), 40)
    .option('--max-tokens <n>', 'most tokens of an answer', integer(1), 32)
    .addHelpText('after', '\nExample:\n  mha2mla eval MODEL test.jsonl --kv-bits 4')
    .action((folder: string, data: string, flags: Flags, command: Command) => {
      const context = contextOf(flags);
      const { result } = context;
      return withModelFolder(folder, flags, async (source) => {
        const { cache, report } = cacheSetting(source, flags);
        const questions = await loadQuestions(data, flags.limit);
        const options = { cache, batchSize: flags.batch, maxTokens: flags.maxTokens };
        const alone =
          flags.adapterFolder !== undefined
            ? '--adapter-folder'
            : flags.videoPositions && '--video-positions';
        const hint = 'Leave it out, or merge the adapter first.';
        const engine = engineOf(command, flags, { alone, hint }, context);
        const { answers, ...figures } = engine
          ? await evaluateSpread(
              { folder, data, source, questions, options },
              { ...flags, engine },
              context,
            )
          : await evaluateHere(source, questions, { flags, options }, context);
        const all = { ...figures, ...report };
        result({ ...all, answers }, () => describe(all));
      });
    });
};

type AskOptions = Pick<EvaluateOptions, 'cache' | 'batchSize' | 'maxTokens'>;

async function evaluateHere(
  source: VlmSource,
  questions: readonly Question[],
  { flags, options }: { flags: Flags; options: AskOptions },
  context: Context,
): Promise<Evaluation> {
  const { terminal, signal } = context;
  const processor = await source.family.loadProcessor(source.config, source.store);
  return withModel(source, flags, context, (model) => {
    terminal.progress({ phase: 'evaluate', loaded: 0, total: questions.length });
    const onProgress = terminal.progress;
    return evaluate(model, processor, questions, { ...options, signal, onProgress });
  });
}

/** By jobs of threads, or of workers on other machines. */
async function evaluateSpread(
  { folder, data, source, questions, options }: SpreadQuestions,
  flags: Flags & { engine: string },
  context: Context,
): Promise<Evaluation> {
  const { weights } = flags;
  const backend = await useBackend(flags.backend);
  const { cache, ...sizes } = options;
  const fingerprint = { command: 'eval', DATA: await fileDigest(data), weights, ...sizes };
  const own = { ...fingerprint, cache: JSON.stringify(cache), questions: questions.length };
  const setting = { folder, beside: resolve(data), flags, backend, fingerprint: own };
  return withSpread(source, setting, context, (spread) =>
    spreadEvaluation(questions, { ...options, weights, ...spread }),
  );
}

interface SpreadQuestions {
  folder: string;
  data: string;
  source: VlmSource;
  questions: readonly Question[];
  options: AskOptions;
}

function describe({ accuracyByKind, ...all }: Omit<Evaluation, 'answers'> & CacheReport): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const kinds = Object.entries(accuracyByKind);
  return [
    `accuracy ${percent(all.accuracy)} of ${all.questions} questions`,
    ...(kinds.length > 1
      ? kinds.map(([kind, share]) => `  ${printableLine(kind)} ${percent(share)}`)
      : []),
    `negative log-likelihood ${all.nll.toFixed(4)} an answer token`,
    `cache ${all.cacheBytesPerToken} bytes a token (${all.cacheBytesAllocated} held by the largest batch)`,
  ].join('\n');
}
