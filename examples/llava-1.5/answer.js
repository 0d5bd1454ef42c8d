/**
 * Ask a LLaVA-1.5 about a picture, convert it in memory, ask again.
 *
 *   node examples/llava-1.5/answer.js [MODEL] [PICTURE] [QUESTION]
 *
 * MODEL is a folder as llava-hf/llava-1.5-7b-hf has it. A model that does not fit into memory twice
 * is converted on disk: npx mha2mla convert MODEL OUT --rank 64 --calibration DATA.
 */
import { memoryStore } from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { llava, openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { calibrationBatches, convertModel, memoryOutput } from 'mha2mla';
import { loadQuestions, readPicture, useBackend } from 'mha2mla/node';

const [
  folder = 'models/llava',
  picture = 'models/scenes/images/test-000.png',
  question = 'list all the objects in order.',
] = process.argv.slice(2);
await useBackend();
const original = await openVlm(await nodeStore(folder), { families: [llava] });
const processor = await llava.loadProcessor(original.config, original.store);
const content = [{ type: 'image' }, { type: 'text', text: question }];
const inputs = processor.process([
  { messages: [{ role: 'user', content }], images: [await readPicture(picture)] },
]);

async function answer(source) {
  const model = await VisionLanguageModel.load(source);
  const ids = [];
  for await (const { tokens } of model.generate(inputs, { maxTokens: 64 })) ids.push(tokens[0]);
  model.dispose();
  return processor.tokenizer.decode(ids, { skipSpecialTokens: true }).trim();
}

console.log('original: ', await answer(original));
const samples = await loadQuestions('models/scenes/calibration.jsonl');
const output = memoryOutput();
const { cacheBytesPerToken } = await convertModel(original, output, {
  ropeDim: original.config.decoder.headDim / 4,
  rank: original.config.decoder.headDim / 4,
  calibration: await calibrationBatches(processor, samples),
});
const converted = await openVlm(memoryStore(output.files), { families: [llava] });
console.log('converted:', await answer(converted));
console.log('cache:    ', cacheBytesPerToken.original, '->', cacheBytesPerToken.converted, 'bytes');
await original.store.close();
