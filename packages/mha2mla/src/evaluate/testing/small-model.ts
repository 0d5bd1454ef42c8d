import { fixture } from '@mha2mla/testing';
import { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { loadQuestions } from '../../node/load-data';
import { openModelFolder } from '../../node/open-model';

/** A small trained model on wasm, and the first of its test questions, four a picture. */
export async function smallModel(name: string, limit: number) {
  await tf.setBackend('wasm');
  const { source, close } = await openModelFolder(fixture(`models/${name}`));
  return {
    source,
    model: await VisionLanguageModel.load(source),
    processor: await source.family.loadProcessor(source.config, source.store),
    questions: await loadQuestions(fixture('models/scenes/test.jsonl'), limit),
    async close() {
      this.model.dispose();
      await close();
    },
  };
}
