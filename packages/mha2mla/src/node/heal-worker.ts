/** A thread of `healPool`: loads student, teacher and questions, and answers shard after shard. */
import { parentPort, workerData } from 'node:worker_threads';
import { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { attachAdapters } from '../heal/attach-adapters';
import { healingRows } from '../heal/held-out';
import { shardGradient } from '../heal/shard-gradient';
import { replyOf } from './ask-thread';
import type { HealWorkerData, ShardRequest } from './heal-pool';
import { loadQuestions } from './load-data';
import { withModelFolder } from './open-model';
import { useBackend } from './register-backends';

const { model, teacher, data, limit, plan, backend } = workerData as HealWorkerData;
const port = parentPort!;

const ready = load();
ready.catch(() => {}); // told with the first answer
port.on('message', async (request: ShardRequest) => {
  port.postMessage(await replyOf(() => answer(request)));
});

async function load() {
  await useBackend(backend);
  const { training: rows } = healingRows(await loadQuestions(data, limit), plan);
  return withModelFolder(model, {}, (source) =>
    withModelFolder(teacher, {}, async (original) => {
      const student = await VisionLanguageModel.load(source);
      const { decoder } = await VisionLanguageModel.load(original);
      const { parameters } = attachAdapters(student.decoder, plan);
      const processor = await source.family.loadProcessor(source.config, source.store);
      return { context: { student, teacher: decoder, processor, rows, plan }, parameters };
    }),
  );
}

async function answer({ shard, parameters: values }: ShardRequest) {
  const { context, parameters } = await ready;
  tf.tidy(() => {
    for (const { name, variable } of parameters) {
      variable.assign(tf.tensor(values.get(name)!, variable.shape));
    }
  });
  return shardGradient(context, parameters, shard);
}
