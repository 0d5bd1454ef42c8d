import { Option } from 'commander';
import { type Evaluation, evaluate } from '../../evaluate/evaluate';
import { loadQuestions } from '../../node/load-data';
import { withModelFolder } from '../../node/open-model';
import { type CacheReport, cacheSetting } from '../cache-setting';
import type { CommonFlags } from '../context';
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

interface Flags extends RunFlags, MediaFlags, AdapterFlags, CacheFlags, WeightFlags, CommonFlags {
  limit?: number;
  batch: number;
  maxTokens: number;
}

/** `eval MODEL DATA`: greedy answers against the reference answers. */
export const addEval: AddCommand = (program, contextOf) => {
  addCacheOptions(
    addMediaOptions(
      addAdapterOption(addWeightsOption(addRunOptions(program.command('eval <model> <data>')))),
    ),
  )
    .description('greedy answers against the reference answers')
    .addOption(
      new Option('--metric <name>', 'how answers are scored').choices(['exact']).default('exact'),
    )
    .option('--limit <n>', 'most questions', integer(1))
    .option('--batch <n>', 'questions that run together', integer(1), 40)
    .option('--max-tokens <n>', 'most tokens of an answer', integer(1), 32)
    .addHelpText('after', '\nExample:\n  mha2mla eval MODEL test.jsonl --kv-bits 4')
    .action((folder: string, data: string, flags: Flags) => {
      const context = contextOf(flags);
      const { terminal, signal, result } = context;
      return withModelFolder(folder, flags, async (source) => {
        const { cache, report } = cacheSetting(source, flags);
        const questions = await loadQuestions(data, flags.limit);
        const processor = await source.family.loadProcessor(source.config, source.store);
        await withModel(source, flags, context, async (model) => {
          terminal.progress({ phase: 'evaluate', loaded: 0, total: questions.length });
          const { answers, ...figures } = await evaluate(model, processor, questions, {
            cache,
            batchSize: flags.batch,
            maxTokens: flags.maxTokens,
            signal,
            onProgress: terminal.progress,
          });
          const all = { ...figures, ...report };
          result({ ...all, answers }, () => describe(all));
        });
      });
    });
};

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
