/**
 * The gradient of a part of an update's rows, as plain numbers: updates are cut into shards of
 * a fixed size, and their gradients averaged, so that the weights come out the same whoever computes
 * the shards, this thread or several.
 */
import { type Decoder, seededRandom } from '@mha2mla/mla-runtime';
import { type TrainableParameter, valueAndGrads } from '@mha2mla/peft';
import type { Processor, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import type { Question } from '../data/question';
import { batchOfStep } from './batch-of-step';
import { checkpointedGradients } from './checkpointed-gradients';
import { disposePrepared, healLoss, prepareBatch } from './heal-loss';
import type { HealPlan } from './heal-options';
import { trainingBatch } from './training-batch';

/** Rows a shard: enough to fill matrix products. */
export const SHARD_ROWS = 4;

export interface Shard {
  step: number;
  /** Which of the update's shards, from 0. */
  index: number;
}

export interface ShardGradient {
  loss: number;
  /** By parameter name; parameters that no token of the shard reaches are left out. */
  grads: ReadonlyMap<string, Float32Array>;
}

/** Computes a shard's gradient at the given values of the parameters. */
export type ShardRunner = (
  shard: Shard,
  parameters: ReadonlyMap<string, Float32Array>,
) => Promise<ShardGradient>;

export interface ShardContext {
  student: VisionLanguageModel;
  teacher: Decoder;
  processor: Processor;
  /** Questions of one row about the same picture (`questionRows`). */
  rows: readonly (readonly Question[])[];
  plan: HealPlan;
}

/** Shards of an update. */
export function shardCount({ batchSize }: HealPlan): number {
  return Math.ceil(batchSize / SHARD_ROWS);
}

/** Compute a shard's gradient with the adapters as they are. */
export async function shardGradient(
  { student, teacher, processor, rows, plan }: ShardContext,
  parameters: readonly TrainableParameter[],
  { step, index }: Shard,
): Promise<ShardGradient> {
  const { batchSize, seed, mix } = plan;
  const chosen = batchOfStep(step, { count: rows.length, batchSize, seed })
    .slice(index * SHARD_ROWS, (index + 1) * SHARD_ROWS)
    .map((row) => rows[row]!);
  const packed = await trainingBatch(student, processor, chosen, {
    mixed: Math.floor(mix * chosen.length),
    others: rows,
    random: seededRandom(Math.imul(seed + 1, 0x85ebca6b) + step * shardCount(plan) + index),
  });
  const batch = prepareBatch(student, teacher, packed, plan);
  try {
    // Maps of a modality get no gradient from a batch without one token of it.
    const allowMissing = batch.step.only !== undefined;
    const { decoder } = student;
    const { value, grads } = plan.checkpoint
      ? checkpointedGradients(decoder, batch, plan, parameters, { allowMissing })
      : valueAndGrads(() => healLoss(decoder, batch, plan), parameters, { allowMissing });
    const found = new Map<string, Float32Array>();
    for (const [name, grad] of Object.entries(grads)) {
      found.set(name, (await grad.data()) as Float32Array);
    }
    const loss = (await value.data())[0]!;
    tf.dispose([value, grads]);
    return { loss, grads: found };
  } finally {
    disposePrepared(batch);
  }
}

/** The mean of shards, each weighing as many rows as it has. */
export function meanOfShards(
  shards: readonly ShardGradient[],
  { batchSize }: HealPlan,
): ShardGradient {
  const sums = new Map<string, Float32Array>();
  let loss = 0;
  for (const [i, shard] of shards.entries()) {
    const size = Math.min(SHARD_ROWS, batchSize - i * SHARD_ROWS);
    const share = size / batchSize;
    loss += share * shard.loss;
    for (const [name, grad] of shard.grads) {
      const sum = sums.get(name) ?? new Float32Array(grad.length);
      for (let j = 0; j < grad.length; j++) sum[j]! += share * grad[j]!;
      sums.set(name, sum);
    }
  }
  return { loss, grads: sums };
}
