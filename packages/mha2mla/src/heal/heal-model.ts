/**
 * Heal a converted model: train adapters on its attention until it answers, and computes, as the
 * original does. The loop is deterministic under its seed, and a run that was stopped goes on from
 * its state to the same weights.
 */
import { type Decoder, yieldToEventLoop } from '@mha2mla/mla-runtime';
import { AdamW, type TrainableParameter, trainableShare } from '@mha2mla/peft';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { type Question, samplesOf } from '../data/question';
import { assertFloats, assertHealable, storedNames } from './assert-healable';
import { type AttachedAdapters, attachAdapters } from './attach-adapters';
import { clippedStep } from './clipped-step';
import { assertNotRunaway, updatesAbove } from './divergence';
import { healSchedule } from './heal-schedule';
import { captureState, type HealState, restoreState } from './heal-state';
import { HeldOut, healingRows, LOOK_EVERY } from './held-out';
import { mergeAdapters } from './merge-adapters';
import { asStored, mergeChange } from './merge-change';
import {
  meanOfShards,
  type ShardContext,
  type ShardGradient,
  type ShardRunner,
  shardCount,
  shardGradient,
} from './shard-gradient';
import { assertAdapterAlone, readAdapter, type TrainedAdapter } from './trained-adapter';

/**
 * The student is the converted model, which comes back as it was; the teacher the language model of
 * the original.
 */
export interface HealRun extends Omit<ShardContext, 'rows'> {
  questions: readonly Question[];
  /** Where it was loaded from: what is trained must be stored there. Not checked where absent. */
  source?: VlmSource;
  /** Computes the shards of an update, several at a time; default this thread, one by one. */
  runShard?: ShardRunner;
  /** Where a stopped run had come to. */
  from?: HealState;
  /** Called every `saveEvery` updates, and before an interruption is passed on. */
  save?: (state: HealState) => Promise<void>;
  saveEvery?: number;
  /**
   * Default true. With false, the adapter comes back instead of the weights that it changes; LoRA or
   * DoRA must be all that is trained.
   */
  merge?: boolean;
  signal?: AbortSignal;
  /** Called after each update. */
  onProgress?: (progress: { phase: 'heal'; loaded: number; total: number }) => void;
}

/** What healing did, as `heal.json` holds it. */
export interface HealReport {
  steps: number;
  /** Trained numbers, as a share of the weights of the language model's layers and the adapters. */
  trainableShare: number;
  loss: { first: number; last: number };
  /** Of each update, before it. */
  losses: number[];
  /**
   * Where a model is written: the largest change of a logit of the first question's prompt, from the
   * adapters beside the model to what is stored, merged and rounded.
   */
  mergeLogitChange?: number;
  /** With pictures held out: their loss after every 25 updates, and the updates of the lowest. */
  heldOut?: { losses: readonly number[]; best: number };
}

/** What healing gives: a report, and weights or an adapter. */
export interface Healed {
  report: HealReport;
  /** The healed weights by the decoder's names; none where they are not merged. */
  merged: ReadonlyMap<string, Float32Array>;
  /** What was trained, where it is not merged. */
  adapter?: TrainedAdapter;
}

/**
 * @throws RangeError for a teacher, questions or a state that do not fit; HealingDiverged, one, when
 *   loss or gradients stop being finite, or without pictures held out the loss runs away; what was
 *   saved is kept, and nothing is saved while the loss is too high.
 */
export async function healModel(run: HealRun): Promise<Healed> {
  const { student, plan, from, signal, onProgress } = run;
  checkRun(run);
  const { training, heldOut } = healingRows(run.questions, plan);
  const context = { ...run, rows: training };
  const adapters = attachAdapters(student.decoder, plan);
  const optimizer = new AdamW(adapters.parameters, { weightDecay: plan.weightDecay });
  const losses = [...(from?.losses ?? [])];
  try {
    if (run.merge === false) assertAdapterAlone(adapters);
    if (run.source) {
      const stored = storedNames(run.source, [...adapters.changed.keys()]);
      if (run.merge !== false) assertFloats(run.source, stored);
    }
    if (from) restoreState(from, adapters.parameters, optimizer);
    const held =
      heldOut.length > 0
        ? new HeldOut({ ...run, rows: heldOut }, adapters.parameters, from?.heldOut)
        : undefined;
    const save = async () => {
      const state = await captureState(losses, adapters.parameters, optimizer);
      await run.save?.({ ...state, ...(held && { heldOut: held.state }) });
    };
    const rate = healSchedule(plan);
    for (let step = losses.length; step < plan.steps; step++) {
      if (held?.isOver(plan.patience)) break;
      await yieldToEventLoop();
      if (signal?.aborted) {
        await save();
        throw signal.reason;
      }
      losses.push(await update(context, adapters.parameters, optimizer, losses, rate(step)));
      if ((step + 1) % LOOK_EVERY === 0 || step + 1 === plan.steps) await held?.look();
      onProgress?.({ phase: 'heal', loaded: step + 1, total: plan.steps });
      if (!held) assertNotRunaway('healModel', losses, plan);
      // The last state that is kept is one from before the loss ran away.
      const good = held || updatesAbove(losses, plan) === 0;
      if (good && (step + 1) % (run.saveEvery ?? plan.steps) === 0) await save();
    }
    held?.restoreBest();
    const report = {
      ...reportOf(student.decoder, adapters, losses),
      ...(held && { heldOut: held.report(losses.length) }),
    };
    if (run.merge === false) {
      return { report, merged: new Map(), adapter: await readAdapter(adapters) };
    }
    const merged = await mergeAdapters(adapters);
    const mergeLogitChange = await changeByMerging(run, adapters, merged);
    return {
      report: { ...report, ...(mergeLogitChange !== undefined && { mergeLogitChange }) },
      merged,
    };
  } finally {
    optimizer.dispose();
    adapters.detach();
  }
}

function checkRun({ student, teacher, questions, plan, from }: HealRun): void {
  assertHealable(student.decoder, teacher, questions.length);
  if (from && from.losses.length > plan.steps) {
    throw new RangeError(
      `healModel: a run must go on from at most its ${plan.steps} updates, got a state of ${from.losses.length}.`,
    );
  }
}

/** One update. @returns the loss before it. */
async function update(
  run: HealRun & ShardContext,
  parameters: readonly TrainableParameter[],
  optimizer: AdamW,
  losses: readonly number[],
  rate: number,
): Promise<number> {
  const { loss, grads: values } = await gradientOf(run, parameters, losses.length);
  const grads: tf.NamedTensorMap = {};
  for (const { name, variable } of parameters) {
    const own = values.get(name);
    if (own) grads[name] = tf.tensor(own, variable.shape);
  }
  try {
    await clippedStep(optimizer, { loss, grads, rate, losses, where: 'healModel' });
    return loss;
  } finally {
    tf.dispose(grads);
  }
}

/** Mean loss and gradient of an update's shards, by the runners given or by this thread. */
async function gradientOf(
  run: HealRun & ShardContext,
  parameters: readonly TrainableParameter[],
  step: number,
): Promise<ShardGradient> {
  const { plan, runShard } = run;
  const shards = Array.from({ length: shardCount(plan) }, (_, index) => ({ step, index }));
  if (runShard) {
    const values = new Map<string, Float32Array>();
    for (const { name, variable } of parameters) {
      values.set(name, (await variable.data()) as Float32Array);
    }
    return meanOfShards(await Promise.all(shards.map((shard) => runShard(shard, values))), plan);
  }
  const found: ShardGradient[] = [];
  for (const shard of shards) found.push(await shardGradient(run, parameters, shard));
  return meanOfShards(found, plan);
}

/** Where it is known how weights will be stored. */
async function changeByMerging(
  { student, processor, questions, source }: HealRun,
  adapters: AttachedAdapters,
  merged: ReadonlyMap<string, Float32Array>,
): Promise<number | undefined> {
  if (!source) return undefined;
  const inputs = processor.process(await samplesOf(questions.slice(0, 1)));
  return mergeChange(student, inputs, adapters, asStored(source, merged));
}

function reportOf(
  { layers }: Decoder,
  { parameters, added }: AttachedAdapters,
  losses: number[],
): HealReport {
  const maps = layers.flatMap(({ projections }) => [...projections.values()]);
  const frozen = maps.reduce((sum, map) => sum + map.inFeatures * map.outFeatures, 0);
  const total = frozen + added;
  return {
    steps: losses.length,
    trainableShare: trainableShare(parameters, total),
    loss: { first: losses[0]!, last: losses.at(-1)! },
    losses,
  };
}
