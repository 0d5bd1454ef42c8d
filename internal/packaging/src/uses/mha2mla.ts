import { httpStore } from '@mha2mla/checkpoint';
import { chooseBackend } from '@mha2mla/mla-runtime';
import { llava, openVlm } from '@mha2mla/vlm-adapters';
import '@tensorflow/tfjs-backend-wasm';
import { calibrationBatches, convertModel, memoryOutput } from 'mha2mla';

/** Converts a model at an address, in memory: cache bytes a token, and files. */
export async function use(model: string) {
  await chooseBackend('wasm');
  const source = await openVlm(httpStore(model), { families: [llava] });
  const processor = await source.family.loadProcessor(source.config, source.store);
  const image = { data: new Uint8Array(64 * 64 * 3).fill(128), width: 64, height: 64 };
  const question = {
    messages: [{ role: 'user', content: '<image>what is it?' }],
    answers: ['a car'],
    loadMedia: async () => ({ images: [image] }),
  };
  const output = memoryOutput();
  const report = await convertModel(source, output, {
    ...{ ropeDim: 8, rank: 4 },
    calibration: await calibrationBatches(processor, [question]),
  });
  const { original, converted } = report.cacheBytesPerToken;
  return [original, converted, output.files.has('report.json')];
}
