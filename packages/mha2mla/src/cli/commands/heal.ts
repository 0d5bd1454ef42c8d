import { openSafetensors } from '@mha2mla/checkpoint';
import { assertWritableTarget } from '@mha2mla/checkpoint/node';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { Question } from '../../data/question';
import { HealingDiverged } from '../../heal/divergence';
import { healLayerwise, layerNames } from '../../heal/heal-layerwise';
import { type Healed, type HealReport, type HealRun, healModel } from '../../heal/heal-model';
import { type HealPlan, planHealing } from '../../heal/heal-options';
import { healProgressive, stageNames } from '../../heal/heal-progressive';
import { readState, writeState } from '../../heal/heal-state';
import type { MergedWeights } from '../../heal/merge-adapters';
import { shardCount } from '../../heal/shard-gradient';
import { type NarrowedLatents, writeHealed } from '../../heal/write-healed';
import { writeHealedAdapter } from '../../heal/write-healed-adapter';
import { type FolderOutput, folderOutput } from '../../node/folder-output';
import { type HealPool, healPool } from '../../node/heal-pool';
import { loadQuestions } from '../../node/load-data';
import { withModelFolder } from '../../node/open-model';
import { useBackend } from '../../node/register-backends';
import { spillHidden } from '../../node/spill-hidden';
import { writeJson } from '../../output/result-output';
import type { Context } from '../context';
import type { AddCommand } from '../program';
import { asUsage, UsageError } from '../usage-error';
import { withModel } from '../with-model';
import { describeHealDryRun, healDryRun } from './heal-dry-run';
import { addHealOptions, type HealFlags, healFingerprint, healOptions } from './heal-flags';

const STATE = 'heal-state.safetensors';
const stageState = (stage: number) => `heal-state-${stage}.safetensors`;
/** Updates between two saved states: a kill loses at most these. */
const SAVE_EVERY = 25;

/** `heal MODEL OUT`: parameter-efficient fine-tuning of a converted model. */
export const addHeal: AddCommand = (program, contextOf) => {
  addHealOptions(program.command('heal <model> <out>'))
    .description('train adapters on a converted model, and merge them or keep them apart')
    .addHelpText(
      'after',
      '\nExample:\n  mha2mla heal CONVERTED OUT --data heal.jsonl --teacher MODEL',
    )
    .action(async (folder: string, out: string, flags: HealFlags) => {
      const context = contextOf(flags);
      const { resume = false } = flags;
      await assertWritableTarget(out, { resume });
      const plan = asUsage(() => planHealing(healOptions(flags)));
      if (plan.recipe !== 'one-stage' && flags.workers > 1) {
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
          assertPair(source, original);
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
          const output = await folderOutput(out, { resume, fingerprint });
          context.resumable();
          try {
            const healed = await trainBy(plan.recipe, source, original, output, options);
            await finish(source, output, healed, plan);
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

function assertPair(source: VlmSource, original: VlmSource): void {
  if (source.config.decoder.mla && !original.config.decoder.mla) return;
  throw new UsageError(
    'heal: MODEL must be a converted model and --teacher its original, got them the other way round or twice the same. Convert first.',
  );
}

async function trainBy(
  recipe: HealPlan['recipe'],
  source: VlmSource,
  original: VlmSource,
  output: FolderOutput,
  options: TrainOptions,
): Promise<HealedWeights> {
  if (recipe === 'layerwise') return trainLayerwise(source, original, output, options);
  if (recipe === 'progressive') return trainProgressively(source, original, output, options);
  return train(source, original, await keptIn(output, options.context), options);
}

interface TrainOptions {
  questions: readonly Question[];
  plan: HealPlan;
  flags: HealFlags;
  context: Context;
}

/** Where a run has come to, and where it keeps that. */
async function keptIn(output: FolderOutput, { terminal }: Context): Promise<KeptRun> {
  return {
    from: await savedState(output),
    save: (state) => output.write(STATE, (sink) => writeState(sink, state)),
    saveEvery: SAVE_EVERY,
    onProgress: terminal.progress,
  };
}

type KeptRun = Pick<HealRun, 'from' | 'save' | 'saveEvery' | 'onProgress'>;

async function train(
  source: VlmSource,
  original: VlmSource,
  kept: KeptRun,
  { questions, plan, flags, context }: TrainOptions,
) {
  const { signal, terminal } = context;
  const processor = await source.family.loadProcessor(source.config, source.store);
  return withModel(source, flags, context, (student) =>
    withModel(original, flags, context, async ({ decoder }) => {
      terminal.progress({ phase: 'heal', loaded: 0, total: plan.steps });
      const pool = startPool(source, original, plan, flags);
      try {
        return await healModel({
          ...{ student, source, teacher: decoder, processor, questions, plan, signal },
          merge: flags.merge,
          runShard: pool?.runShard,
          ...kept,
        });
      } finally {
        await pool?.close();
      }
    }),
  );
}

/** One layer at a time: no whole model is loaded. */
async function trainLayerwise(
  source: VlmSource,
  original: VlmSource,
  output: FolderOutput,
  { questions, plan, flags, context }: TrainOptions,
) {
  const { signal, terminal } = context;
  await useBackend(flags.backend);
  const processor = await source.family.loadProcessor(source.config, source.store);
  const spill = spillHidden({ folder: output.path, aboveBytes: flags.spillAbove * 2 ** 20 });
  try {
    const { keep: keepHidden } = spill;
    const onProgress = terminal.progress;
    const run = { source, original, processor, questions, plan, output, keepHidden };
    return await healLayerwise({ ...run, signal, onProgress });
  } finally {
    await spill.close();
  }
}

async function trainProgressively(
  source: VlmSource,
  original: VlmSource,
  output: FolderOutput,
  { questions, plan, flags, context }: TrainOptions,
) {
  const { signal, terminal } = context;
  const processor = await source.family.loadProcessor(source.config, source.store);
  return withModel(source, flags, context, (student) =>
    withModel(original, flags, context, ({ decoder: teacher }) =>
      healProgressive({
        ...{ student, source, teacher, processor, questions, plan, output, signal },
        from: (stage) => savedState(output, stageState(stage)),
        save: (stage, state) => output.write(stageState(stage), (sink) => writeState(sink, state)),
        saveEvery: SAVE_EVERY,
        onProgress: terminal.progress,
      }),
    ),
  );
}

/** Threads beside this one, where more than one was asked for and there are shards for them. */
function startPool(
  source: VlmSource,
  original: VlmSource,
  plan: HealPlan,
  { workers, data, limit, backend }: HealFlags,
): HealPool | undefined {
  const threads = Math.min(workers, shardCount(plan));
  if (threads < 2) return undefined;
  const folders = { model: source.store.name, teacher: original.store.name };
  return healPool(threads, { ...folders, data, limit, plan, backend });
}

async function savedState(output: FolderOutput, name = STATE) {
  if (!(await output.has(name))) return undefined;
  return readState(await openSafetensors(await output.read(name)));
}

/** Of any recipe. */
interface HealedWeights extends Omit<Healed, 'merged'> {
  merged: MergedWeights;
  narrowed?: NarrowedLatents;
}

async function finish(
  source: VlmSource,
  output: FolderOutput,
  { report, merged, adapter, narrowed }: HealedWeights,
  plan: HealPlan,
): Promise<void> {
  const record = { ...report, options: plan };
  if (adapter) await writeHealedAdapter(source, output, adapter, record);
  else await writeHealed(source, output, merged, record, narrowed);
  const stages = stageNames();
  const states = [STATE, ...stages.map((_, stage) => stageState(stage))];
  await output.finish([...states, ...stages, ...layerNames(source)]);
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
