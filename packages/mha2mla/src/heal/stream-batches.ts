/** What layers learn on: all rows in batches, and as many again with mixed pictures as is asked for. */
import { seededRandom } from '@mha2mla/mla-runtime';
import { questionRows } from '../data/question-rows';
import { rememberMedia } from '../data/remember-media';
import type { PackedReferences } from '../evaluate/pack-references';
import type { ReferencePlaces } from '../evaluate/reference-step';
import { batchOfStep } from './batch-of-step';
import type { LayerwiseRun } from './heal-layerwise';
import { trainingBatch } from './training-batch';

/** Batches one after the other, so that the pictures of one are held at a time. */
export async function* streamBatches({
  source,
  processor,
  plan: { batchSize, seed, mix },
  questions,
}: Pick<
  LayerwiseRun,
  'source' | 'processor' | 'plan' | 'questions'
>): AsyncGenerator<PackedReferences> {
  const rows = rememberMedia(questionRows(questions));
  const plain = Math.ceil(rows.length / batchSize);
  const mixed = Math.round((plain * mix) / (1 - mix));
  for (let i = 0; i < plain + mixed; i++) {
    const chosen = batchOfStep(i % plain, { count: rows.length, batchSize, seed });
    const own = chosen.map((row) => rows[row]!);
    yield await trainingBatch(source, processor, own, {
      mixed: i < plain ? 0 : chosen.length,
      others: rows,
      random: seededRandom(Math.imul(seed + 1, 0x85ebca6b) + i),
    });
  }
}

/** Without the pictures, which have been seen. */
export function placesOf({ inputs, positionIds, branches }: ReferencePlaces): ReferencePlaces {
  const { inputIds, attentionMask, batch, length } = inputs;
  return { inputs: { inputIds, attentionMask, batch, length }, positionIds, branches };
}
