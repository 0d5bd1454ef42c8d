/**
 * Heal a converted model: train adapters on its attention until it answers, and computes, as the
 * original does. The loop is deterministic under its seed, and a run that was stopped goes on from
 * its state to the same weights.
 */
import { type Decoder, yieldToEventLoop } from '@mha2mla/mla-runtime';
import {
  AdamW,
  clipByGlobalNorm,
  type TrainableParameter,
  trainableShare,
  valueAndGrads,
  wsdSchedule,
} from '@mha2mla/peft';
import type { Processor, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { answeredBatch } from '../data/answered-batch';
import type { Question } from '../data/question';
import { attachAdapters } from './attach-adapters';
import { batchOfStep } from './batch-of-step';
import { disposePrepared, healLoss, prepareBatch } from './heal-loss';
import type { HealPlan } from './heal-options';
import { captureState, type HealState, restoreState } from './heal-state';
import { type MergedWeights, mergeAdapters } from './merge-adapters';

export interface HealRun {
  /** The converted model; it comes back as it was. */
  student: VisionLanguageModel;
  /** Language model of the original. */
  teacher: Decoder;
  processor: Processor;
  questions: readonly Question[];
  plan: HealPlan;
  /** Where a stopped run had come to. */
  from?: HealState;
  /** Called every `saveEvery` updates, and before an interruption is passed on. */
  save?: (state: HealState) => Promise<void>;
  saveEvery?: number;
  signal?: AbortSignal;
  onProgress?: (progress: { phase: 'heal'; loaded: number; total: number }) => void;
}

export interface HealReport {
  steps: number;
  /** Trained numbers, as a share of the weights of the language model's layers and the adapters. */
  trainableShare: number;
  loss: { first: number; last: number };
  /** Of each update, before it. */
  losses: number[];
}

/** Gradients beyond this are scaled down, as the reference has it. */
const MAX_GRADIENT_NORM = 1;

/**
 * @returns the report, and the healed weights by the decoder's names.
 * @throws RangeError when the loss stops being a number; what was saved is kept.
 */
export async function healModel(
  run: HealRun,
): Promise<{ report: HealReport; merged: MergedWeights }> {
  const { student, plan, from, signal, onProgress } = run;
  const adapters = attachAdapters(student.decoder, plan);
  const optimizer = new AdamW(adapters.parameters, { weightDecay: plan.weightDecay });
  const losses = [...(from?.losses ?? [])];
  try {
    if (from) restoreState(from, adapters.parameters, optimizer);
    const save = async () => run.save?.(await captureState(losses, adapters.parameters, optimizer));
    const rate = scheduleOf(plan);
    for (let step = losses.length; step < plan.steps; step++) {
      await yieldToEventLoop();
      if (signal?.aborted) {
        await save();
        throw signal.reason;
      }
      losses.push(await update(run, adapters.parameters, optimizer, step, rate(step)));
      onProgress?.({ phase: 'heal', loaded: step + 1, total: plan.steps });
      if ((step + 1) % (run.saveEvery ?? plan.steps) === 0) await save();
    }
    return {
      report: {
        steps: plan.steps,
        trainableShare: trainableShare(adapters.parameters, countWeights(student.decoder)),
        loss: { first: losses[0]!, last: losses.at(-1)! },
        losses,
      },
      merged: await mergeAdapters(adapters),
    };
  } finally {
    optimizer.dispose();
    adapters.detach();
  }
}

/** One update. @returns the loss before it. */
async function update(
  { student, teacher, processor, questions, plan }: HealRun,
  parameters: readonly TrainableParameter[],
  optimizer: AdamW,
  step: number,
  rate: number,
): Promise<number> {
  const { batchSize, seed } = plan;
  const chosen = batchOfStep(step, { count: questions.length, batchSize, seed });
  const answered = await answeredBatch(
    processor,
    chosen.map((index) => questions[index]!),
  );
  const batch = prepareBatch(student, teacher, answered);
  try {
    const { value, grads } = valueAndGrads(
      () => healLoss(student.decoder, batch, plan),
      parameters,
    );
    const loss = (await value.data())[0]!;
    const clipped = clipByGlobalNorm(grads, MAX_GRADIENT_NORM);
    // A loss that is no number would make every weight so.
    if (Number.isFinite(loss)) optimizer.step(clipped.grads, rate);
    tf.dispose([value, grads, clipped.grads, clipped.norm]);
    if (Number.isFinite(loss)) return loss;
  } finally {
    disposePrepared(batch);
  }
  throw new RangeError(
    `healModel: the loss must stay a number, got NaN or infinity at update ${step + 1}. Lower the learning rate.`,
  );
}

function scheduleOf({ learningRate, steps, warmup, decay }: HealPlan): (step: number) => number {
  const warmupSteps = Math.floor(steps * warmup);
  const schedule = wsdSchedule({
    learningRate,
    totalSteps: steps + 1,
    warmupSteps,
    decaySteps: Math.min(Math.ceil(steps * decay), steps - warmupSteps),
  });
  // The schedule's first update has rate 0; healing is too short to give one away.
  return (step) => schedule(step + 1);
}

/** Weights of the layers, adapters included. */
function countWeights({ layers }: Decoder): number {
  const maps = layers.flatMap(({ projections }) => [...projections.values()]);
  return maps.reduce((sum, map) => {
    const own = 'parameters' in map ? (map.parameters as TrainableParameter[]) : [];
    const adapter = own.reduce((total, { variable }) => total + variable.size, 0);
    return sum + map.inFeatures * map.outFeatures + adapter;
  }, 0);
}
