/** Train one layer of the student to give what the teacher's gives for its own input. */
import { type DecoderLayer, loadDecoderLayer, yieldToEventLoop } from '@mha2mla/mla-runtime';
import { AdamW, outputMatchingLoss, valueAndGrads } from '@mha2mla/peft';
import * as tf from '@tensorflow/tfjs-core';
import { type HiddenStates, withHidden } from '../convert/hidden-states';
import type { LayerTensor } from '../convert/layer-weights';
import { assertFloats, storedNames } from './assert-healable';
import { type AttachedAdapters, attachToLayers } from './attach-adapters';
import { batchOfStep } from './batch-of-step';
import { type ClippedStep, clippedStep } from './clipped-step';
import { assertNotRunaway } from './divergence';
import type { LayerwiseRun } from './heal-layerwise';
import { healSchedule } from './heal-schedule';
import { type LayerStream, withStep } from './layer-streams';
import { readChanged } from './merge-adapters';

/** What a layer's healing came to. */
export interface HealedLayer {
  /** By the decoder's names, laid out as on disk. */
  weights: ReadonlyMap<string, LayerTensor>;
  /** Of each update, before it. */
  losses: readonly number[];
  /** Numbers that were trained, and of all linear maps and adapters. */
  trained: number;
  total: number;
}

type LayerRun = Pick<LayerwiseRun, 'source' | 'original' | 'plan' | 'signal'>;
type LearningStream = LayerStream<Pick<HiddenStates, 'read'>>;

/** @param onUpdate is told how many updates are done. @throws HealingDiverged */
export async function healLayer(
  run: LayerRun,
  streams: readonly LearningStream[],
  index: number,
  onUpdate: (done: number) => void,
): Promise<HealedLayer> {
  const { source, original, plan, signal } = run;
  const seed = plan.seed + 1000 * index;
  const student = await loadDecoderLayer(source.config.decoder, source.weights, index);
  const teacher = await loadDecoderLayer(original.config.decoder, original.weights, index);
  const maps = [...student.projections.values()];
  const frozen = maps.reduce((sum, map) => sum + map.inFeatures * map.outFeatures, 0);
  const adapters = attachToLayers(new Map([[index, student]]), { ...plan, seed });
  const optimizer = new AdamW(adapters.parameters, { weightDecay: plan.weightDecay });
  const rate = healSchedule(plan);
  const losses: number[] = [];
  try {
    assertFloats(source, storedNames(source, [...adapters.changed.keys()]));
    for (let step = 0; step < plan.steps; step++) {
      await yieldToEventLoop();
      signal?.throwIfAborted();
      const [at] = batchOfStep(step, { count: streams.length, batchSize: 1, seed });
      const sides = { student, teacher, adapters, optimizer };
      const own = { rate: rate(step), losses, where: `healLayerwise, layer ${index}` };
      losses.push(await update(run, streams[at!]!, sides, own));
      assertNotRunaway(own.where, losses, plan);
      onUpdate(step + 1);
    }
    const trained = adapters.parameters.reduce((sum, { variable }) => sum + variable.size, 0);
    return {
      weights: await readChanged(adapters),
      losses,
      trained,
      total: frozen + adapters.added,
    };
  } finally {
    optimizer.dispose();
    adapters.detach();
    student.dispose();
    teacher.dispose();
  }
}

interface Sides {
  student: DecoderLayer;
  teacher: DecoderLayer;
  adapters: AttachedAdapters;
  optimizer: AdamW;
}

/** One update. @returns the loss before it. */
function update(
  { source }: LayerRun,
  stream: LearningStream,
  { student, teacher, adapters, optimizer }: Sides,
  own: Pick<ClippedStep, 'rate' | 'losses' | 'where'>,
): Promise<number> {
  const { batch, length, attentionMask } = stream.places.inputs;
  return withStep(source.config, stream, async (step) => {
    const target = await withHidden(stream.teacher, (states) => teacher.prefill(states, step));
    const mask = tf.tensor2d(Float32Array.from(attentionMask), [batch, length]);
    try {
      return await withHidden(stream.student ?? stream.teacher, async (states) => {
        const lossFn = () => outputMatchingLoss(student.prefill(states, step), target, { mask });
        const allowMissing = step.only !== undefined;
        const { value, grads } = valueAndGrads(lossFn, adapters.parameters, { allowMissing });
        try {
          const loss = (await value.data())[0]!;
          await clippedStep(optimizer, { loss, grads, ...own });
          return loss;
        } finally {
          tf.dispose([value, grads] as tf.TensorContainer);
        }
      });
    } finally {
      tf.dispose([target, mask]);
    }
  });
}
