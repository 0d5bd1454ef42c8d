/**
 * Qwen2.5-VL from beginning to end: convert, heal, compare, generate about a picture and a video. Its
 * rotary pairs turn with time, height or width (M-RoPE), and its keys and values have biases.
 *
 *   node examples/qwen2.5-vl/qwen.js                       # the small model of models/qwen2_5_vl
 *   node examples/qwen2.5-vl/qwen.js --samples 32 --steps 5 --limit 40
 *
 * It prints, in 4 minutes (two cores, wasm; the second line in half of one):
 *
 *   kept in the first layer's heads: tttt and ttth (time, height, width)
 *   held out: loss 0.93 0.80 0.71 0.64 0.58 0.54 0.49 0.50 0.47 0.47
 *   original: 98.2 % right, nll 0.018, 1024 bytes a token
 *   converted: 82.7 % right, nll 0.268, 256 bytes a token
 *   healed: 95.2 % right, nll 0.050, 256 bytes a token
 *   healed, 4-bit cache: 95.7 % right, nll 0.049, 128 bytes a token
 *   55 tokens; grids 1,12,12
 *   car
 *   137 tokens; grids 1,12,12 2,10,16
 *   nothing
 *
 * For a published checkpoint, such as Qwen/Qwen2.5-VL-7B-Instruct (4 KV heads of 128 dims):
 *
 *   node examples/qwen2.5-vl/qwen.js --model FOLDER --rope-dim 32 --rank 64 \
 *     --calibration YOURS.jsonl --heal YOURS.jsonl --test YOURS.jsonl --steps 1000 --workers 1
 *
 * Each worker that heals holds both models in float32, 56 GB of a 7B: give as many as fit. With few
 * pictures to train on, those held out tell when to stop.
 */
import { parseArgs } from 'node:util';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { cacheBytesPerToken } from '@mha2mla/mla-runtime';
import { createTokenStream, openVlm, qwen25Vl, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import {
  calibrationBatches,
  convertModel,
  evaluate,
  healModel,
  planHealing,
  writeHealed,
} from 'mha2mla';
import {
  folderOutput,
  healPool,
  loadQuestions,
  readPicture,
  readVideo,
  useBackend,
} from 'mha2mla/node';

const { values: settings } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/qwen2_5_vl' },
    calibration: { type: 'string', default: 'models/scenes/calibration.jsonl' },
    heal: { type: 'string', default: 'models/scenes/heal.jsonl' },
    test: { type: 'string', default: 'models/scenes/test.jsonl' },
    'rope-dim': { type: 'string', default: '8' },
    rank: { type: 'string', default: '8' },
    samples: { type: 'string', default: '128' }, // to calibrate on
    steps: { type: 'string', default: '250' },
    workers: { type: 'string', default: '2' },
    limit: { type: 'string', default: '2000' }, // questions to heal on, and to ask
    out: { type: 'string', default: `out/qwen-${Date.now()}` },
  },
});
const backend = await useBackend();
const families = [qwen25Vl];
const original = await openVlm(await nodeStore(settings.model), { families });
const processor = await qwen25Vl.loadProcessor(original.config, original.store);

// 1. Convert. Each head keeps the pairs that its attention misses most, whichever way they turn.
const samples = await loadQuestions(settings.calibration, Number(settings.samples));
const { mropeSection, layers } = await convertModel(
  original,
  await folderOutput(`${settings.out}/converted`, { resume: false, fingerprint: {} }),
  {
    ropeDim: Number(settings['rope-dim']),
    rank: Number(settings.rank),
    calibration: await calibrationBatches(processor, samples),
  },
);
const ends = mropeSection.map((_, i) => mropeSection.slice(0, i + 1).reduce((a, b) => a + b));
const letters = layers[0].ropePairs.map((pairs) =>
  pairs.map((pair) => 'thw'[ends.findIndex((end) => pair < end)]).join(''),
);
console.log(`kept in the first layer's heads: ${letters.join(' and ')} (time, height, width)`);
const converted = await openVlm(await nodeStore(`${settings.out}/converted`), { families });

// 2. Heal, shared by threads: they compute gradients, this one takes the steps. Any number of them
// gives the same weights.
const limit = Number(settings.limit);
const plan = planHealing({ steps: Number(settings.steps), holdOut: 0.1 });
const pool = healPool(Number(settings.workers), {
  ...{ model: `${settings.out}/converted`, teacher: settings.model },
  ...{ data: settings.heal, limit, plan, backend },
});
const student = await VisionLanguageModel.load(converted);
const teacher = await VisionLanguageModel.load(original);
const { report, merged } = await healModel({
  ...{ student, source: converted, teacher: teacher.decoder, processor, plan },
  questions: await loadQuestions(settings.heal, limit),
  runShard: pool.runShard,
});
await pool.close();
student.dispose();
teacher.dispose();
const output = await folderOutput(`${settings.out}/healed`, { resume: false, fingerprint: {} });
await writeHealed(converted, output, merged, { ...report, options: plan });
await output.finish([]);
const healed = await openVlm(await nodeStore(`${settings.out}/healed`), { families });
console.log(`held out: loss ${report.heldOut.losses.map((loss) => loss.toFixed(2)).join(' ')}`);

// 3. Compare.
const questions = await loadQuestions(settings.test, limit);
for (const [name, source, cache] of [
  ['original', original, {}],
  ['converted', converted, {}],
  ['healed', healed, {}],
  ['healed, 4-bit cache', healed, { kvBits: 4 }],
]) {
  const model = await VisionLanguageModel.load(source);
  const { accuracy, nll } = await evaluate(model, processor, questions, { cache });
  model.dispose();
  const { vision } = cacheBytesPerToken(source.config.decoder, source.weights, cache);
  console.log(
    `${name}: ${(100 * accuracy).toFixed(1)} % right, nll ${nll.toFixed(3)}, ${vision} bytes a token`,
  );
}

// 4. Generate about a picture, then about it and a video of two frames a second, and read the answer
// as it comes.
const model = await VisionLanguageModel.load(healed);
const picture = await readPicture('models/scenes/images/test-000.png');
const video = await readVideo('fixtures/video', 2);
const question = { type: 'text', text: 'what is in the middle center?' };
for (const [content, media] of [
  [[{ type: 'image' }, question], { images: [picture] }],
  [[{ type: 'image' }, { type: 'video' }, question], { images: [picture], videos: [video] }],
]) {
  const inputs = processor.process([{ messages: [{ role: 'user', content }], ...media }]);
  const { imageGridThw = [], videoGridThw = [], length } = inputs;
  console.log(`${length} tokens; grids ${[...imageGridThw]} ${[...videoGridThw]}`);
  const words = createTokenStream(processor.tokenizer);
  for await (const { tokens } of model.generate(inputs, { maxTokens: 32 })) {
    process.stdout.write(words.push(tokens[0]));
  }
  process.stdout.write(`${words.flush()}\n`);
}
model.dispose();
await Promise.all([original, converted, healed].map(({ store }) => store.close()));
