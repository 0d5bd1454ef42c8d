import { assertWritableTarget } from '@mha2mla/checkpoint/node';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { Command } from 'commander';
import { HealingDiverged } from '../../heal/divergence';
import type { HealReport } from '../../heal/heal-model';
import { planHealing } from '../../heal/heal-options';
import { refitCache } from '../../heal/refit-cache';
import { writeHealed } from '../../heal/write-healed';
import { writeHealedAdapter } from '../../heal/write-healed-adapter';
import { type FolderOutput, folderOutput } from '../../node/folder-output';
import { loadQuestions } from '../../node/load-data';
import { withModelFolder } from '../../node/open-model';
import { writeJson } from '../../output/result-output';
import { assertPair } from '../assert-pair';
import { engineOf } from '../engine-options';
import type { AddCommand } from '../program';
import { asUsage, UsageError } from '../usage-error';
import { describeHealDryRun, healDryRun } from './heal-dry-run';
import { addHealOptions, type HealFlags, healFingerprint, healOptions } from './heal-flags';
import { healBySpread } from './heal-spread';
import {
  type HealedWeights,
  scratchPieces,
  type TrainOptions,
  train,
  trainBy,
} from './heal-training';

/** `heal MODEL OUT`: parameter-efficient fine-tuning of a converted model. */
export const addHeal: AddCommand = (program, contextOf) => {
  addHealOptions(program.command('heal <model> <out>'))
    .description('train adapters on a converted model, and merge them or keep them apart')
    .addHelpText(
      'after',
      '\nExample:\n  mha2mla heal CONVERTED OUT --data heal.jsonl --teacher MODEL',
    )
    .action(async (folder: string, out: string, given: HealFlags, command: Command) => {
      const began = performance.now();
      const context = contextOf(given);
      const { resume = false } = given;
      await assertWritableTarget(out, { resume });
      const plan = asUsage(() => planHealing(healOptions(given)));
      const alone = plan.recipe === 'layerwise' ? undefined : `--recipe ${plan.recipe}`;
      const hint = 'Leave it out, or give --recipe layerwise.';
      const engine = engineOf(command, given, { alone, hint }, context);
      const flags = { ...given, engine };
      if (engine === undefined && plan.recipe !== 'one-stage' && (flags.workers ?? 1) > 1) {
        throw new UsageError(
          `heal: --recipe ${plan.recipe} runs in one thread, got --workers. Leave it out.`,
        );
      }
      if (plan.recipe !== 'one-stage' && !flags.merge) {
        throw new UsageError(
          `heal: --recipe ${plan.recipe} merges what it trains, got --no-merge. Leave it out.`,
        );
      }
      await withModelFolder(folder, {}, (source) =>
        withModelFolder(flags.teacher, {}, async (original) => {
          assertPair('heal', '--teacher', source, original);
          const questions = await loadQuestions(flags.data, flags.limit);
          const options = { questions, plan, flags, context };
          if (flags.dryRun) {
            const found = await healDryRun(source, plan, (run) =>
              train(source, original, run, { ...options, plan: run.plan }),
            );
            context.result(found, () => describeHealDryRun(found));
            return;
          }
          const fingerprint = await healFingerprint(source, original, flags, plan);
          const output = await folderOutput(out, { resume, fingerprint, began });
          context.resumable();
          try {
            const healed = engine
              ? await healBySpread(source, original, output, {
                  ...{ ...options, out, engine, fingerprint },
                })
              : await trainBy(source, original, output, options);
            await finish(source, output, healed, options);
            const { losses, ...report } = healed.report;
            context.result(report, () => describe(healed.report));
          } catch (error) {
            if (error instanceof HealingDiverged) {
              const { message: stopped, losses } = error;
              const record = { stopped, steps: losses.length, losses, options: plan };
              await writeJson(output, 'heal.json', record);
            }
            throw error;
          } finally {
            await output.close();
          }
        }),
      );
    });
};

async function finish(
  source: VlmSource,
  output: FolderOutput,
  { report, merged, adapter, narrowed }: HealedWeights,
  { questions, plan, context }: TrainOptions,
): Promise<void> {
  const record = { ...report, options: plan };
  if (adapter) await writeHealedAdapter(source, output, adapter, record);
  else {
    const cache = await refitCache(source, merged, questions, context.signal);
    await writeHealed(source, output, merged, record, { narrowed, cache });
  }
  await output.finish(scratchPieces(source));
}

/** Loss lines in the log: enough to see the curve. */
const LINES = 10;

function describe({ losses, trainableShare, loss, mergeLogitChange }: HealReport): string {
  const every = Math.max(1, Math.ceil(losses.length / LINES));
  const lines = losses.flatMap((value, step) =>
    step % every === 0 ? [`  update ${step + 1}: loss ${value.toFixed(4)}`] : [],
  );
  return [
    ...lines,
    `${losses.length} updates of ${(100 * trainableShare).toFixed(1)} % of the weights, loss ${loss.first.toFixed(4)} -> ${loss.last.toFixed(4)}`,
    ...(mergeLogitChange === undefined
      ? []
      : [
          `merged and rounded as it is stored, which moves a logit by ${mergeLogitChange.toPrecision(2)} at most`,
        ]),
  ].join('\n');
}
