/** A family from outside of the package: it needs nothing but what is exported. */
import { memoryStore, readJson } from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { loadProjection } from '@mha2mla/mla-runtime';
import { describeBackends, expectNoLeak, fixture } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import {
  createProcessor,
  decoderConfig,
  llava,
  loadTextFiles,
  openVlm,
  sequentialPositions,
  VisionLanguageModel,
  type VlmFamily,
} from './index';

const SIZE = 8; // of a picture's sides: its grey values are the 64 inputs of the projector

/** LLaVA's decoder, tokenizer and projector, behind an encoder that sees a picture's values alone. */
const blurred: VlmFamily = {
  name: 'blurred',
  modelTypes: ['blurred'],
  parseConfig: (config) => ({
    decoder: decoderConfig(config),
    imageTokenId: config.imageTokenId,
    visionTokenIds: [config.imageTokenId],
    eosTokenIds: config.text.eosTokenIds,
    padTokenId: config.text.padTokenId,
    source: config,
  }),
  storedNames: llava.storedNames,
  visionTensors: () => ['multi_modal_projector.linear_1.weight'],
  async loadVision({ decoder }, weights) {
    const width = decoder.hiddenSize;
    const linear = await loadProjection(weights, 'multi_modal_projector.linear_1', [64, width]);
    return {
      encode: ({ pixelValues }) =>
        tf.tidy(() => {
          const [pictures] = pixelValues!.shape;
          const values = tf.tensor2d(pixelValues!.data, [pictures!, SIZE * SIZE]);
          return { images: linear.apply(values) as tf.Tensor2D };
        }),
      dispose: () => linear.dispose(),
    };
  },
  async loadProcessor({ imageTokenId, source }, store) {
    return createProcessor({
      ...(await loadTextFiles(store)),
      imageTokenId,
      padTokenId: 401,
      contextWindow: source.text.maxPositionEmbeddings,
      prepareImages: (images) => ({
        inputs: {
          pixelValues: {
            data: Float32Array.from(
              images.flatMap(({ data }) => [...data]),
              (value) => value / 255,
            ),
            shape: [images.length, SIZE, SIZE],
          },
        },
        tokens: images.map(() => 1),
      }),
    });
  },
  positions: (_config, inputs) => sequentialPositions(inputs),
};

describeBackends('a family from outside', () => {
  test('opens, prepares, embeds and generates', () =>
    expectNoLeak(async () => {
      const folder = await nodeStore(fixture('fixtures/hf/llava/checkpoint'));
      const config = JSON.stringify({
        ...((await readJson(folder, 'config.json')) as object),
        model_type: 'blurred',
      });
      const renamed = memoryStore({ 'config.json': config });
      const store = {
        ...folder,
        open: (path: string) => (path === 'config.json' ? renamed : folder).open(path),
      };
      const source = await openVlm(store, { families: [llava, blurred] });
      expect(source.family).toBe(blurred);
      const processor = await source.family.loadProcessor(source.config, store);
      const model = await VisionLanguageModel.load(source);
      const image = { data: new Uint8Array(SIZE * SIZE).fill(128), width: SIZE, height: SIZE };
      const messages = [{ role: 'user', content: '<image>what is it?' }];
      const inputs = processor.process([{ messages, images: [image] }]);
      const steps: Int32Array[] = [];
      for await (const { tokens } of model.generate(inputs, { maxTokens: 3, eosTokenIds: [] })) {
        steps.push(tokens);
      }
      expect(steps.length).toBe(3);
      model.dispose();
      await folder.close?.();
    }));
});
