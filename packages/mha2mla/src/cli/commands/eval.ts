import { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { Option } from 'commander';
import { type Evaluation, evaluate } from '../../evaluate/evaluate';
import { loadQuestions } from '../../node/load-data';
import { openModelFolder } from '../../node/open-model';
import { useBackend } from '../../node/register-backends';
import { type CacheReport, cacheReport, cacheSetting } from '../cache-setting';
import { integer } from '../option-values';
import type { AddCommand } from '../program';
import { addCacheOptions, addRunOptions, type CacheFlags, type RunFlags } from '../shared-options';

interface Flags extends RunFlags, CacheFlags {
  limit?: number;
  batch: number;
  maxTokens: number;
  json?: boolean;
}

/** `eval MODEL DATA`: greedy answers against the reference answers. */
export const addEval: AddCommand = (program, contextOf) => {
  addCacheOptions(addRunOptions(program.command('eval <model> <data>')))
    .description('greedy answers against the reference answers')
    .addOption(
      new Option('--metric <name>', 'how answers are scored').choices(['exact']).default('exact'),
    )
    .option('--limit <n>', 'most questions', integer(1))
    .option('--batch <n>', 'questions that run together', integer(1), 40)
    .option('--max-tokens <n>', 'most tokens of an answer', integer(1), 32)
    .addHelpText('after', '\nExample:\n  mha2mla eval MODEL test.jsonl --kv-bits 4')
    .action(async (folder: string, data: string, flags: Flags) => {
      const { terminal, signal, result } = contextOf(flags);
      await useBackend(flags.backend);
      const { source, close } = await openModelFolder(folder);
      try {
        const questions = await loadQuestions(data, flags.limit);
        const processor = await source.family.loadProcessor(source.config, source.store);
        const model = await VisionLanguageModel.load(source, {
          signal,
          onProgress: terminal.progress,
        });
        const cache = cacheSetting(source, flags);
        const evaluation = await evaluate(model, processor, questions, {
          cache,
          batchSize: flags.batch,
          maxTokens: flags.maxTokens,
          signal,
          onProgress: terminal.progress,
        });
        model.dispose();
        const { answers, ...figures } = evaluation;
        const report = { ...figures, ...cacheReport(source, cache) };
        result({ ...report, answers }, () => describe(evaluation, report));
      } finally {
        await close();
      }
    });
};

function describe(
  { accuracyByKind, ...all }: Evaluation,
  { cacheBytesPerToken }: CacheReport,
): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const kinds = Object.entries(accuracyByKind);
  return [
    `accuracy ${percent(all.accuracy)} of ${all.questions} questions`,
    ...(kinds.length > 1 ? kinds.map(([kind, share]) => `  ${kind} ${percent(share)}`) : []),
    `negative log-likelihood ${all.nll.toFixed(4)} an answer token`,
    `cache ${cacheBytesPerToken} bytes a token`,
  ].join('\n');
}
