/** The change that is told is that of the model which is written. */
import { memoryStore } from '@mha2mla/checkpoint';
import { describeBackends, expectNoLeak } from '@mha2mla/testing';
import { llava, openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { expect, test } from 'vitest';
import { promptLogits } from '../adapter/largest-logit-change';
import { memoryOutput } from '../output/result-output';
import { attachAdapters } from './attach-adapters';
import { mergeAdapters } from './merge-adapters';
import { asStored, mergeChange } from './merge-change';
import { tinyAnswers, tinyHealing } from './tiny-healing';
import { trainTiny } from './train-tiny';
import { writeHealed } from './write-healed';

const { inputs } = tinyAnswers(3, 1);
const options = { r: 4, loraAlpha: 8, targetModules: 'v2', biases: true, seed: 1 };
const report = {
  ...{ steps: 3, trainableShare: 0.1, loss: { first: 2, last: 1 }, losses: [2, 1.5, 1] },
  options: {},
};

describeBackends('the largest change of a logit by merging', () => {
  test.each([
    ['F32', 0, 1e-5],
    // 8 bits of a weight, in sums of 64.
    ['BF16', 1e-4, 0.2],
  ] as const)('%s: biases and norms included', async (dtype, least, most) => {
    const tiny = await tinyHealing({ dtype, bias: true });
    const adapters = attachAdapters(tiny.student.decoder, options);
    await trainTiny(tiny.student, tiny.teacher.decoder, adapters, { steps: 3 });
    const before = await promptLogits(tiny.student, inputs);
    const merged = await mergeAdapters(adapters);
    const stored = asStored(tiny.converted, merged);
    let change = Number.NaN;
    await expectNoLeak(async () => {
      change = await mergeChange(tiny.student, inputs, adapters, stored);
    });
    adapters.detach();

    const output = memoryOutput();
    await writeHealed(tiny.converted, output, merged, report);
    const source = await openVlm(memoryStore(output.files), { families: [llava] });
    const written = await VisionLanguageModel.load(source);
    const after = await promptLogits(written, inputs);
    const width = before.length / inputs.attentionMask.length;
    const moved = before.map((x, i) =>
      inputs.attentionMask[Math.floor(i / width)] ? Math.abs(x - after[i]!) : 0,
    );
    expect(change).toBeCloseTo(Math.max(...moved), 7);
    expect(change).toBeGreaterThanOrEqual(least);
    expect(change).toBeLessThan(most);
    written.dispose();
    tiny.dispose();
  });
});
