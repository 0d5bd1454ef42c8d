/** An adapter folder gives, on the model that was healed, the bits of the adapters that were trained. */
import { memoryStore } from '@mha2mla/checkpoint';
import { describeBackends, expectNoLeak } from '@mha2mla/testing';
import { expect, test } from 'vitest';
import { promptLogits } from '../adapter/largest-logit-change';
import { loadAdapter } from '../adapter/load-adapter';
import { ModelAdapters } from '../adapter/model-adapters';
import { memoryOutput } from '../output/result-output';
import { attachAdapters } from './attach-adapters';
import { planHealing } from './heal-options';
import { tinyAnswers, tinyHealing } from './tiny-healing';
import { trainTiny } from './train-tiny';
import { assertAdapterAlone, readAdapter } from './trained-adapter';
import { writeHealedAdapter } from './write-healed-adapter';

const report = { steps: 3, trainableShare: 0.1, loss: { first: 2, last: 1 }, losses: [2, 1.5, 1] };
const { inputs } = tinyAnswers(3);

describeBackends('an adapter folder', () => {
  test.each(['lora', 'rslora', 'dora'] as const)(
    '%s: read back, maps narrower than r included, it gives the same bits',
    async (adapter) => {
      const tiny = await tinyHealing();
      const plan = planHealing({ adapter, r: 12, loraAlpha: 18, biases: false });
      const output = memoryOutput();
      await expectNoLeak(async () => {
        const attached = attachAdapters(tiny.student.decoder, plan);
        assertAdapterAlone(attached);
        await trainTiny(tiny.student, tiny.teacher.decoder, attached, { steps: 3 });
        const trained = await promptLogits(tiny.student, inputs);
        await writeHealedAdapter(tiny.converted, output, await readAdapter(attached), {
          ...report,
          options: plan,
        });
        attached.detach();
        const plain = await promptLogits(tiny.student, inputs);
        expect(trained).not.toEqual(plain);

        const adapters = new ModelAdapters(tiny.student);
        const config = await loadAdapter(adapters, memoryStore(output.files));
        adapters.setAdapter('default');
        expect(await promptLogits(tiny.student, inputs)).toEqual(trained);
        expect([config.r, config.rankPattern.size > 0]).toEqual([12, true]);
        adapters.dispose();
      });
      expect([...output.files.keys()]).toEqual([
        ...['heal.json', 'README.md', 'adapter_model.safetensors', 'adapter_config.json'],
      ]);
      tiny.dispose();
    },
  );

  test.each([
    ['maps themselves', { adapter: 'none' as const }, /layers.0.self_attn.q_proj.weight/],
    ['biases', { biases: true }, /layers.0.self_attn.q_proj.bias/],
    ['norms', { biases: false, targetModules: 'v2' }, /layernorm.weight/],
  ])('is refused where %s learn, too', async (_, options, named) => {
    const tiny = await tinyHealing({ bias: true });
    const attached = attachAdapters(tiny.student.decoder, planHealing(options));
    expect(() => assertAdapterAlone(attached)).toThrow(named);
    expect(() => assertAdapterAlone(attached)).toThrow(/LoRA or DoRA must be all that is trained/);
    attached.detach();
    tiny.dispose();
  });
});
