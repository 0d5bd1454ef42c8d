/**
 * LLaVA-1.5 from beginning to end: convert it to latent attention, heal it, ask it, compare.
 *
 *   node examples/llava-1.5/llava.js                         # the small model of models/llava
 *   node examples/llava-1.5/llava.js --samples 32 --steps 5 --limit 40
 *
 * It prints, in 4 minutes (the second line in half of one; a core, wasm):
 *
 *   backend:   wasm
 *   converted: errors of vision/text by layer 0.06/0.13 0.06/0.09 0.12/0.13 0.09/0.15
 *   healed:    loss 3.217 -> 0.370 in 250 updates
 *   question:  <image>what is in the middle center?
 *   original: 99.3 % right, nll 0.008, 3072 bytes a token, "car"
 *   converted: 85.7 % right, nll 0.300, 384 bytes a token, "car"
 *   healed: 97.7 % right, nll 0.027, 384 bytes a token, "car"
 *   healed, 4-bit cache: 98.0 % right, nll 0.026, 176 bytes a token, "car"
 *
 * A published checkpoint, such as llava-hf/llava-1.5-7b-hf, takes other folders and widths:
 *
 *   node examples/llava-1.5/llava.js --model FOLDER --rope-dim 32 --rank 64 \
 *     --calibration YOURS.jsonl --heal YOURS.jsonl --test YOURS.jsonl --steps 1000
 *
 * Its heads are 128 wide: 32 dims that keep their rotation and 64 latent dims a head are the shares that
 * 8 and 16 are of the small model's 32, which takes less here, to have something to heal. Converting
 * holds a layer at a time. Healing and asking hold whole models in float32, 28 GB each: see
 * `mha2mla heal --dry-run` first.
 */
import { parseArgs } from 'node:util';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { cacheBytesPerToken } from '@mha2mla/mla-runtime';
import { llava, openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import {
  calibrationBatches,
  convertModel,
  evaluate,
  healModel,
  planHealing,
  writeHealed,
} from 'mha2mla';
import { folderOutput, loadQuestions, useBackend } from 'mha2mla/node';

const { values: settings } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/llava' },
    calibration: { type: 'string', default: 'models/scenes/calibration.jsonl' },
    heal: { type: 'string', default: 'models/scenes/heal.jsonl' },
    test: { type: 'string', default: 'models/scenes/test.jsonl' },
    'rope-dim': { type: 'string', default: '4' },
    rank: { type: 'string', default: '4' },
    samples: { type: 'string', default: '128' }, // to calibrate on
    steps: { type: 'string', default: '250' },
    limit: { type: 'string', default: '2000' }, // questions to heal on, and to ask
    out: { type: 'string', default: `out/llava-${Date.now()}` },
  },
});
const open = async (folder) => openVlm(await nodeStore(folder), { families: [llava] });

// The best backend that is installed: TensorFlow's library, else wasm.
console.log(`backend:   ${await useBackend()}`);

// 1. Convert. Samples of what the model will see tell which rotary pairs matter, and which
// directions of keys and values; pictures and text get a latent each.
const original = await open(settings.model);
const processor = await llava.loadProcessor(original.config, original.store);
const samples = await loadQuestions(settings.calibration, Number(settings.samples));
const report = await convertModel(
  original,
  await folderOutput(`${settings.out}/converted`, { resume: false, fingerprint: {} }),
  {
    ropeDim: Number(settings['rope-dim']),
    rank: Number(settings.rank),
    calibration: await calibrationBatches(processor, samples),
  },
);
const converted = await open(`${settings.out}/converted`);
const errors = report.layers.map(({ vision, text }) =>
  [vision, text].map(({ relativeError }) => relativeError.toFixed(2)).join('/'),
);
console.log(`converted: errors of vision/text by layer ${errors.join(' ')}`);

// 2. Heal. Adapters on the converted attention learn the answers, and what the original makes of
// the same pictures; then they are folded into the weights.
const student = await VisionLanguageModel.load(converted);
const teacher = await VisionLanguageModel.load(original);
const limit = Number(settings.limit);
const plan = planHealing({ steps: Number(settings.steps) });
const healing = await healModel({
  student,
  source: converted,
  teacher: teacher.decoder,
  processor,
  questions: await loadQuestions(settings.heal, limit),
  plan,
});
student.dispose();
teacher.dispose();
const output = await folderOutput(`${settings.out}/healed`, { resume: false, fingerprint: {} });
await writeHealed(converted, output, healing.merged, { ...healing.report, options: plan });
await output.finish([]);
const healed = await open(`${settings.out}/healed`);
const { first, last } = healing.report.loss;
console.log(`healed:    loss ${first.toFixed(3)} -> ${last.toFixed(3)} in ${plan.steps} updates`);

// 3. Generate and compare: the same questions over the original's cache, over latents, and over
// latents in 4 bits. A reference answer's likelihood tells small changes that accuracy does not.
const questions = await loadQuestions(settings.test, limit);
const [{ messages, loadMedia }] = questions;
const inputs = processor.process([{ messages, ...(await loadMedia()) }]);
console.log(`question:  ${messages[0].content}`);
for (const [name, source, cache] of [
  ['original', original, {}],
  ['converted', converted, {}],
  ['healed', healed, {}],
  ['healed, 4-bit cache', healed, { kvBits: 4 }],
]) {
  const model = await VisionLanguageModel.load(source);
  const ids = [];
  for await (const { tokens } of model.generate(inputs, { maxTokens: 32, cache })) {
    ids.push(tokens[0]);
  }
  const answer = processor.tokenizer.decode(ids, { skipSpecialTokens: true }).trim();
  const { accuracy, nll } = await evaluate(model, processor, questions, { cache });
  model.dispose();
  const { vision, text } = cacheBytesPerToken(source.config.decoder, source.weights, cache);
  console.log(
    `${name}: ${(100 * accuracy).toFixed(1)} % right, nll ${nll.toFixed(3)}, ${(vision + text) / 2} bytes a token, "${answer}"`,
  );
}
await Promise.all([original, converted, healed].map(({ store }) => store.close()));
