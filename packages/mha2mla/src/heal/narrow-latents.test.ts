/** Latents cut to their first dims are those of a conversion at that rank. */
import { memoryStore } from '@mha2mla/checkpoint';
import { describeBackends, expectClose, expectNoLeak } from '@mha2mla/testing';
import { llava, openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { expect, test } from 'vitest';
import type { ConvertRunOptions } from '../convert/convert-model';
import { type TinyLlavaOptions, tinyInputs } from '../convert/tiny-llava';
import { traceModel } from '../trace/trace-model';
import { latentRanksOf, narrowLatents } from './narrow-latents';
import { type TinyHealing, tinyHealing } from './tiny-healing';

async function logits(model: VisionLanguageModel): Promise<Float32Array> {
  return (await traceModel(model, tinyInputs(3))).get('logits')!.values as Float32Array;
}

async function converted<T>(
  model: TinyLlavaOptions,
  options: ConvertRunOptions,
  use: (tiny: TinyHealing) => Promise<T>,
): Promise<T> {
  const tiny = await tinyHealing(model, options);
  try {
    return await use(tiny);
  } finally {
    tiny.dispose();
  }
}

const latentRanks = { vision: [3, 6], text: [5, 1] };
const narrowRanks = { vision: [3, 3], text: [3, 1] };

describeBackends('narrowed latents', () => {
  test.each<[string, TinyLlavaOptions, ConvertRunOptions, ConvertRunOptions]>([
    ['a latent for each modality', { bias: true }, { rank: 6 }, { rank: 3 }],
    ['one latent', { kvHeads: 4 }, { rank: 6, decouple: false }, { rank: 3, decouple: false }],
    ['groups', { kvHeads: 4 }, { rank: 6, groups: 2 }, { rank: 3, groups: 2 }],
    [
      'widths by layer',
      {},
      { rank: undefined, latentRanks },
      { rank: undefined, latentRanks: narrowRanks },
    ],
  ])('%s: are those of the model converted at that rank', async (_, model, wide, narrow) => {
    const expected = await converted(model, narrow, async ({ student }) => ({
      logits: await logits(student),
      ranks: latentRanksOf(student.decoder),
    }));
    await converted(model, wide, async ({ student }) => {
      narrowLatents(student.decoder, 3);
      expect(latentRanksOf(student.decoder)).toEqual(expected.ranks);
      // Logits of size 3; factors of two ranks are computed apart in float64 and stored in f32.
      expectClose(await logits(student), expected.logits, { abs: 1e-4 });
    });
  });

  test('to their own width, and where there are none, are left as they are', async () => {
    for (const options of [{ rank: 4 }, { factor: 'none' }] as const) {
      await converted({}, options, async ({ student }) => {
        const before = await logits(student);
        narrowLatents(student.decoder, 4);
        expect(await logits(student)).toEqual(before);
      });
    }
  });

  test('leave no tensor behind', async () => {
    const { files, dispose } = await tinyHealing({ bias: true }, { rank: 6 });
    const source = await openVlm(memoryStore(files), { families: [llava] });
    await expectNoLeak(async () => {
      const model = await VisionLanguageModel.load(source);
      narrowLatents(model.decoder, 3);
      model.dispose();
    });
    dispose();
  });
});
