/**
 * LLaVA-NeXT from beginning to end: convert, heal, compare, generate. It sees a picture whole and in
 * tiles, some thousand tokens each, so that pictures are nearly all of its cache. Here the cache is
 * given a budget, layers heal one by one, and what a budget buys is counted in pictures.
 *
 *   node examples/llava-next/llava-next.js                       # the small model, models/llava_next
 *   node examples/llava-next/llava-next.js --samples 32 --steps 5 --limit 40
 *
 * It prints, in 5 minutes (the second line in half of one; a core, wasm):
 *
 *   a picture: 5 crops, 88 tokens
 *   ranks by layer: vision 12 6 6 8, text 12 8 6 6
 *   original: 94.8 % right, nll 0.061, 11 pictures in a MiB of cache
 *   converted: 79.8 % right, nll 0.254, 46 pictures in a MiB of cache
 *   healed: 89.5 % right, nll 0.114, 46 pictures in a MiB of cache
 *   in 4 and 8 bits: 89.8 % right, nll 0.113, 90 pictures in a MiB of cache
 *   list all the objects in order. car, car, rainbow, car, car, rainbow (0 of 110 tokens were cached)
 *   what is the background color? yellow (95 of 109 tokens were cached)
 *
 * For a published checkpoint, such as llava-hf/llama3-llava-next-8b-hf, change folders and time:
 *
 *   node examples/llava-next/llava-next.js --model FOLDER \
 *     --calibration YOURS.jsonl --heal YOURS.jsonl --test YOURS.jsonl --steps 1000
 *
 * A budget needs no widths: the converter finds those of each layer. Converting and healing hold one
 * layer of each model and the samples' hidden states (mha2mla/node's `spillHidden` keeps those on
 * disk); comparing holds a model, 32 GB in float32, 9 GB with `VisionLanguageModel.load(source, { weights: 'int8' })`.
 */
import { parseArgs } from 'node:util';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { cacheBytesPerToken } from '@mha2mla/mla-runtime';
import { llavaNext, loadModel, openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import {
  calibrationBatches,
  convertModel,
  evaluate,
  healLayerwise,
  memoryOutput,
  planHealing,
  writeHealed,
} from 'mha2mla';
import { folderOutput, loadQuestions, useBackend } from 'mha2mla/node';

const { values: settings } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/llava_next' },
    calibration: { type: 'string', default: 'models/scenes/calibration.jsonl' },
    heal: { type: 'string', default: 'models/scenes/heal.jsonl' },
    test: { type: 'string', default: 'models/scenes/test.jsonl' },
    'kv-budget': { type: 'string', default: '0.25' },
    samples: { type: 'string', default: '128' }, // to calibrate on
    steps: { type: 'string', default: '100' }, // of each layer
    limit: { type: 'string', default: '2000' }, // questions to heal on, and to ask
    out: { type: 'string', default: `out/llava-next-${Date.now()}` },
  },
});
await useBackend();
const families = [llavaNext];
const original = await openVlm(await nodeStore(settings.model), { families });
const processor = await llavaNext.loadProcessor(original.config, original.store);
const limit = Number(settings.limit);
const questions = await loadQuestions(settings.test, limit);

// A picture in tokens: 5 crops here, the whole and four tiles, with a token at each end of a row.
const [{ messages, loadMedia }] = questions;
const { images } = await loadMedia();
const { inputIds, pixelValues } = processor.process([{ messages, images }]);
const pictureTokens = inputIds.filter((id) => id === original.config.imageTokenId).length;
console.log(`a picture: ${pixelValues.shape[1]} crops, ${pictureTokens} tokens`);

// 1. Convert to a share of the cache. A first pass over the samples predicts what each latent dim
// of each layer and modality is worth; bytes go where they save most.
const samples = await loadQuestions(settings.calibration, Number(settings.samples));
const { options } = await convertModel(
  original,
  await folderOutput(`${settings.out}/converted`, { resume: false, fingerprint: {} }),
  {
    kvBudget: Number(settings['kv-budget']),
    calibration: await calibrationBatches(processor, samples),
  },
);
const ranks = options.latentRanks ?? { vision: [options.rank], text: [options.rank] };
console.log(`ranks by layer: vision ${ranks.vision.join(' ')}, text ${ranks.text.join(' ')}`);
const converted = await openVlm(await nodeStore(`${settings.out}/converted`), { families });

// 2. Heal layer by layer: each learns to give what the original's layer gives, from pictures and
// questions alone. Healed layers are kept aside; a folder would let a stopped run go on behind them.
const plan = planHealing({ recipe: 'layerwise', steps: Number(settings.steps) });
const { report, merged } = await healLayerwise({
  source: converted,
  original,
  processor,
  questions: await loadQuestions(settings.heal, limit),
  plan,
  output: memoryOutput(),
});
const output = await folderOutput(`${settings.out}/healed`, { resume: false, fingerprint: {} });
await writeHealed(converted, output, merged, { ...report, options: plan });
await output.finish([]);
const healed = await openVlm(await nodeStore(`${settings.out}/healed`), { families });

// 3. Compare, with the likelihood of the reference answers beside exact matches: it tells small
// losses. The cache may be stored in fewer bits for pictures than for words.
const kvBits = { vision: 4, text: 8 };
for (const [name, source, cache] of [
  ['original', original, {}],
  ['converted', converted, {}],
  ['healed', healed, {}],
  ['in 4 and 8 bits', healed, { kvBits }],
]) {
  const model = await VisionLanguageModel.load(source);
  const { accuracy, nll } = await evaluate(model, processor, questions, { cache });
  model.dispose();
  const { vision } = cacheBytesPerToken(source.config.decoder, source.weights, cache);
  const pictures = Math.floor(2 ** 20 / (vision * pictureTokens));
  console.log(
    `${name}: ${(100 * accuracy).toFixed(1)} % right, nll ${nll.toFixed(3)}, ${pictures} pictures in a MiB of cache`,
  );
}

// 4. Generate, as an application does. The second question begins as the first one did, with the same
// picture, so it goes on behind what the cache holds of it.
const model = await loadModel(healed.store, { families, cache: { kvBits } });
for (const text of ['list all the objects in order.', 'what is the background color?']) {
  const content = [
    { type: 'image', image: images[0] },
    { type: 'text', text },
  ];
  const { text: answer, usage } = await model.chat([{ role: 'user', content }], { maxTokens: 32 });
  const { inputTokens, cachedInputTokens } = usage;
  console.log(
    `${text} ${answer.trim()} (${cachedInputTokens} of ${inputTokens} tokens were cached)`,
  );
}
await model.dispose();
await Promise.all([original, converted, healed].map(({ store }) => store.close()));
