/** How `heal` trains by each recipe, and where it keeps what a stopped run goes on from. */
import { openSafetensors } from '@mha2mla/checkpoint';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { Question } from '../../data/question';
import { healLayerwise, layerNames } from '../../heal/heal-layerwise';
import { type Healed, type HealRun, healModel } from '../../heal/heal-model';
import type { HealPlan } from '../../heal/heal-options';
import { healProgressive, stageNames } from '../../heal/heal-progressive';
import { readState, writeState } from '../../heal/heal-state';
import type { MergedWeights } from '../../heal/merge-adapters';
import { shardCount } from '../../heal/shard-gradient';
import type { NarrowedLatents } from '../../heal/write-healed';
import type { FolderOutput } from '../../node/folder-output';
import { type HealPool, healPool } from '../../node/heal-pool';
import { healWorkers } from '../../node/heal-workers';
import { limitTensorFlow } from '../../node/import-tensorflow';
import { useBackend } from '../../node/register-backends';
import { spillHidden } from '../../node/spill-hidden';
import type { Context } from '../context';
import { withModel } from '../with-model';
import type { HealFlags } from './heal-flags';

const STATE = 'heal-state.safetensors';
const stageState = (stage: number) => `heal-state-${stage}.safetensors`;
/** Updates between two saved states: a kill loses at most these. */
const SAVE_EVERY = 25;

/** Of any recipe. */
export interface HealedWeights extends Omit<Healed, 'merged'> {
  merged: MergedWeights;
  narrowed?: NarrowedLatents;
}

/** Pieces of the output that only a stopped run needs, of any recipe. */
export function scratchPieces(source: VlmSource): string[] {
  const stages = stageNames();
  const states = [STATE, ...stages.map((_, stage) => stageState(stage))];
  return [...states, ...stages, ...layerNames(source)];
}

/** Train by the recipe of the plan, on from where a stopped run had come to. */
export async function trainBy(
  source: VlmSource,
  original: VlmSource,
  output: FolderOutput,
  options: TrainOptions,
): Promise<HealedWeights> {
  const { recipe } = options.plan;
  if (recipe === 'layerwise') return trainLayerwise(source, original, output, options);
  if (recipe === 'progressive') return trainProgressively(source, original, output, options);
  return train(source, original, await keptIn(output, options.context), options);
}

export interface TrainOptions {
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

/** All layers at once. */
export function train(
  source: VlmSource,
  original: VlmSource,
  kept: KeptRun,
  options: TrainOptions,
): Promise<Healed> {
  const { plan, flags, context } = options;
  const threads = Math.min(flags.workers ?? healWorkers([source, original]), shardCount(plan));
  // Before TensorFlow is loaded: its own threads would only wait for each other.
  if (threads > 1) limitTensorFlow(1);
  return withPair(source, original, options, async (pair) => {
    context.terminal.progress({ phase: 'heal', loaded: 0, total: plan.steps });
    const pool = threads > 1 ? startPool(threads, source, original, plan, flags) : undefined;
    try {
      const { merge } = flags;
      return await healModel({ ...pair, merge, runShard: pool?.runShard, ...kept });
    } finally {
      await pool?.close();
    }
  });
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

function trainProgressively(
  source: VlmSource,
  original: VlmSource,
  output: FolderOutput,
  options: TrainOptions,
) {
  return withPair(source, original, options, (pair) =>
    healProgressive({
      ...pair,
      output,
      from: (stage) => savedState(output, stageState(stage)),
      save: (stage, state) => output.write(stageState(stage), (sink) => writeState(sink, state)),
      saveEvery: SAVE_EVERY,
      onProgress: options.context.terminal.progress,
    }),
  );
}

/** Load student and teacher while `use` runs, and what both recipes need beside them. */
async function withPair<T>(
  source: VlmSource,
  original: VlmSource,
  { questions, plan, flags, context }: TrainOptions,
  use: (pair: Pair) => Promise<T>,
): Promise<T> {
  const { signal } = context;
  const processor = await source.family.loadProcessor(source.config, source.store);
  return withModel(source, flags, context, (student) =>
    withModel(original, flags, context, ({ decoder: teacher }) =>
      use({ student, source, teacher, processor, questions, plan, signal }),
    ),
  );
}

type Pair = Required<
  Pick<HealRun, 'student' | 'source' | 'teacher' | 'processor' | 'questions' | 'plan' | 'signal'>
>;

/** Threads beside this one, which compute the shards. */
function startPool(
  threads: number,
  source: VlmSource,
  original: VlmSource,
  plan: HealPlan,
  { data, limit, backend }: HealFlags,
): HealPool {
  const folders = { model: source.store.name, teacher: original.store.name };
  return healPool(threads, { ...folders, data, limit, plan, backend });
}

async function savedState(output: FolderOutput, name = STATE) {
  if (!(await output.has(name))) return undefined;
  return readState(await openSafetensors(await output.read(name)));
}
