/**
 * Measure what a conversion costs a LLaVA-NeXT, which sees a picture whole and in tiles: some
 * thousand tokens each, most of them in the cache.
 *
 *   node examples/llava-next/compare.js [MODEL] [DATA] [CALIBRATION]
 *
 * MODEL is a folder as llava-hf/llama3-llava-next-8b-hf has it.
 */
import { nodeStore } from '@mha2mla/checkpoint/node';
import { llavaNext, openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { calibrationBatches, convertModel, evaluate } from 'mha2mla';
import { folderOutput, loadQuestions, useBackend } from 'mha2mla/node';

const [
  folder = 'models/llava_next',
  data = 'models/scenes/test.jsonl',
  calibration = 'models/scenes/calibration.jsonl',
] = process.argv.slice(2);
await useBackend();
const original = await openVlm(await nodeStore(folder), { families: [llavaNext] });
const processor = await llavaNext.loadProcessor(original.config, original.store);
const questions = await loadQuestions(data, 60);

async function measure(name, source) {
  const model = await VisionLanguageModel.load(source);
  const { accuracy, nll } = await evaluate(model, processor, questions);
  model.dispose();
  console.log(
    `${name} ${(100 * accuracy).toFixed(1)} % right, negative log-likelihood ${nll.toFixed(3)}`,
  );
}

const [{ messages, loadMedia }] = questions;
const { inputIds, pixelValues } = processor.process([{ messages, ...(await loadMedia()) }]);
const vision = inputIds.filter((id) => id === original.config.imageTokenId).length;
console.log(`a picture: ${pixelValues.shape[1]} crops, ${vision} of ${inputIds.length} tokens`);
await measure('original: ', original);

const out = `out/llava-next-${Date.now()}`;
const output = await folderOutput(out, { resume: false, fingerprint: {} });
const { cacheBytesPerToken } = await convertModel(original, output, {
  ropeDim: original.config.decoder.headDim / 4,
  rank: original.config.decoder.headDim / 4,
  calibration: await calibrationBatches(processor, await loadQuestions(calibration)),
  onProgress: ({ loaded, total }) => console.log(`layer ${loaded} of ${total}`),
});
const store = await nodeStore(out);
await measure('converted:', await openVlm(store, { families: [llavaNext] }));
console.log(
  `cache: ${cacheBytesPerToken.original} -> ${cacheBytesPerToken.converted} bytes a token`,
);
console.log(`the converted model is in ${out}`);
await store.close();
await original.store.close();
