/** What a healed folder holds: trained weights in their places, all else byte for byte. */
import { encodeTensor, memoryStore, writeSafetensors } from '@mha2mla/checkpoint';
import { describeBackends, expectClose } from '@mha2mla/testing';
import { llava, openVlm, VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import { expect, test } from 'vitest';
import { type ConvertRunOptions, convertModel } from '../convert/convert-model';
import { openTinyLlava, type TinyLlavaOptions, tinyInputs } from '../convert/tiny-llava';
import { memoryOutput } from '../output/result-output';
import { traceModel } from '../trace/trace-model';
import { attachAdapters } from './attach-adapters';
import type { HealReport } from './heal-model';
import { mergeAdapters } from './merge-adapters';
import { tinyAnswers, tinyHealing } from './tiny-healing';
import { trainTiny } from './train-tiny';
import { writeHealed } from './write-healed';

const report: HealReport & { options: Record<string, unknown> } = {
  steps: 2,
  trainableShare: 0.125,
  loss: { first: 3, last: 2.5 },
  losses: [3, 2.5],
  options: { r: 4, targetModules: '.*self_attn.*' },
};

interface Healed {
  converted: VlmSource;
  /** Files of the converted model, and of the healed one in the order of writing. */
  before: Map<string, Uint8Array>;
  after: Map<string, Uint8Array>;
  merged: ReadonlyMap<string, Float32Array>;
  /** Logits with adapters, and of what was written. */
  adapted: Float32Array;
  written: Float32Array;
}

const open = (files: Map<string, Uint8Array>) => openVlm(memoryStore(files), { families: [llava] });

async function logits(model: VisionLanguageModel): Promise<Float32Array> {
  const trace = await traceModel(model, tinyAnswers(3).inputs);
  return trace.get('logits')!.values as Float32Array;
}

/** Convert, train, write and read back. */
async function heal(
  model: TinyLlavaOptions,
  { oneFile = false, ...options }: ConvertRunOptions & { oneFile?: boolean } = {},
): Promise<Healed> {
  const tiny = await tinyHealing(model, options);
  const before = oneFile ? await joinShards(tiny.converted, tiny.files) : tiny.files;
  const converted = await open(before);
  const adapters = attachAdapters(tiny.student.decoder, {
    r: 4,
    loraAlpha: 8,
    targetModules: '.*self_attn.*',
    seed: 1,
  });
  await trainTiny(tiny.student, tiny.teacher.decoder, adapters, { steps: 3 });
  const [adapted, merged] = [await logits(tiny.student), await mergeAdapters(adapters)];
  adapters.detach();
  tiny.dispose();
  const output = memoryOutput();
  await writeHealed(converted, output, merged, report);
  const healed = await VisionLanguageModel.load(await open(output.files));
  const written = await logits(healed);
  healed.dispose();
  return { converted, before, after: output.files, merged, adapted, written };
}

/** The folder as if it had been written in one file. */
async function joinShards(
  { checkpoint }: VlmSource,
  files: Map<string, Uint8Array>,
): Promise<Map<string, Uint8Array>> {
  const output = memoryOutput();
  await output.write('model.safetensors', (sink) =>
    writeSafetensors(sink, [...checkpoint.tensors.values()], ({ name }) =>
      checkpoint.readBytes(name),
    ),
  );
  const others = [...files].filter(([name]) => !name.startsWith('model'));
  return new Map([...output.files, ...others]);
}

const json = (files: Map<string, Uint8Array>, name: string) =>
  JSON.parse(new TextDecoder().decode(files.get(name)));

describeBackends('a healed folder', () => {
  test.each<[string, TinyLlavaOptions, ConvertRunOptions]>([
    ['a latent for each modality', { bias: true }, {}],
    ['one latent', { kvHeads: 4 }, { decouple: false }],
    ['groups', { kvHeads: 4 }, { groups: 2 }],
    ['widths by layer', {}, { rank: undefined, latentRanks: { vision: [3, 6], text: [5, 1] } }],
    ['partial RoPE alone', { bias: true }, { factor: 'none' }],
  ])('%s: opens again, to the logits of the adapters', async (_, model, options) => {
    const { written, adapted } = await heal(model, options);
    // Logits of size 3; a weight that is rounded once more, and products in another order.
    expectClose(written, adapted, { abs: 1e-5 });
  });

  test.each<[string, TinyLlavaOptions & { oneFile: boolean }]>([
    ['shards, F32', { layers: 3, oneFile: false }],
    ['shards, BF16', { dtype: 'BF16', oneFile: false }],
    ['one file, F16', { dtype: 'F16', oneFile: true }],
  ])('%s: what was not trained is the same byte for byte', async (_, { oneFile, ...model }) => {
    const { converted, after, merged, written } = await heal(model, { oneFile });
    expect(written.every(Number.isFinite)).toBe(true);
    const { checkpoint } = await open(after);
    const trained = new Map(
      [...merged].map(([name, values]) => [converted.weights.storedName(name)!, values]),
    );
    expect([...checkpoint.tensors]).toEqual([...converted.checkpoint.tensors]);
    for (const { name, dtype } of checkpoint.tensors.values()) {
      const bytes = await checkpoint.readBytes(name);
      const original = await converted.checkpoint.readBytes(name);
      const values = trained.get(name);
      if (values) expect(bytes, name).not.toEqual(original);
      expect(bytes, name).toEqual(values ? encodeTensor(values, dtype) : original);
    }
  });

  test.each([true, false])(
    'has the files of the converted one, config.json last; one file: %s',
    async (oneFile) => {
      const companions = {
        'tokenizer.json': Uint8Array.of(0, 255, 10),
        'chat_template.jinja': Uint8Array.of(1),
        LICENSE: Uint8Array.of(2),
      };
      const { before, after } = await heal({ files: companions }, { oneFile });
      const names = [...after.keys()];
      expect(names.at(-1)).toBe('config.json');
      expect([...names].sort()).toEqual([...before.keys(), 'heal.json'].sort());
      expect(names.some((name) => name.endsWith('.index.json'))).toBe(!oneFile);
      for (const [name, bytes] of before) {
        const changes = name.endsWith('.safetensors') || name === 'README.md';
        if (!changes) expect(after.get(name), name).toEqual(bytes);
      }
    },
  );
});

describeBackends('the record of healing', () => {
  test('heal.json is the report; the card goes on from that of the conversion', async () => {
    const { before, after } = await heal({ layers: 1 });
    expect(json(after, 'heal.json')).toEqual(report);
    const [card, healed] = [before, after].map((files) =>
      new TextDecoder().decode(files.get('README.md')),
    );
    expect(healed!.startsWith(`${card!.trimEnd()}\n\n## Healing\n\n`)).toBe(true);
    expect(healed).toContain("2 updates of 12.5 % of the language model's weights");
    expect(healed).toContain('fell from 3.000 to 2.500');
  });

  test('scales of latents that were fitted anew are what it opens with', async () => {
    const fitted = { kvMethod: 'static', kvBits: 4 } as const;
    const options = { rank: 4, cache: fitted, calibration: [tinyInputs(1)] };
    const output = memoryOutput();
    await convertModel(await openTinyLlava(), output, options);
    const source = await open(output.files);
    const latentSpecs = source.cache.latentSpecs!.map((layer) =>
      Object.fromEntries(
        Object.entries(layer).map(([segment, spec]) => [
          segment,
          { ...spec, scales: spec.scales.map((scale) => 3 * scale) },
        ]),
      ),
    );
    const cache = { ...source.cache, latentSpecs };
    const healed = memoryOutput();
    await writeHealed(source, healed, new Map(), report, { cache });
    expect((await open(healed.files)).cache).toEqual(cache);
  });

  test('a model without a card gets one', async () => {
    const { before } = await heal({ layers: 1 });
    before.delete('README.md');
    const output = memoryOutput();
    await writeHealed(await open(before), output, new Map(), report);
    expect(new TextDecoder().decode(output.files.get('README.md'))).toMatch(/^## Healing\n/);
  });

  test.each(['split', 'key', 'value'] as const)(
    'weights of latents that are stored apart are refused, not dropped: %s',
    async (factor) => {
      await expect(heal({ layers: 1 }, { factor })).rejects.toThrow(
        /must be stored in the model, got 6 of 9 weights that are not: .*\. Choose others/,
      );
    },
  );
});
