/**
 * Ask a Qwen2.5-VL about a picture and a video together, and read the answer as it comes.
 *
 *   node examples/qwen2.5-vl/watch.js [MODEL] [PICTURE] [FOLDER_OF_FRAMES] [QUESTION]
 *
 * MODEL is a folder as Qwen/Qwen2.5-VL-7B-Instruct has it, or its conversion by
 * npx mha2mla convert MODEL OUT --rank 64 --calibration DATA. Frames are two a second.
 */
import { nodeStore } from '@mha2mla/checkpoint/node';
import { createTokenStream, openVlm, qwen25Vl, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { readPicture, readVideo, useBackend } from 'mha2mla/node';

const [
  folder = 'models/qwen2_5_vl',
  picture = 'models/scenes/images/test-000.png',
  frames = 'fixtures/video',
  question = 'what is in the middle center?',
] = process.argv.slice(2);
await useBackend();
const source = await openVlm(await nodeStore(folder), { families: [qwen25Vl] });
const processor = await qwen25Vl.loadProcessor(source.config, source.store);
const model = await VisionLanguageModel.load(source);

async function ask(content, media) {
  const inputs = processor.process([{ messages: [{ role: 'user', content }], ...media }]);
  const { imageGridThw = [], videoGridThw = [], length } = inputs;
  console.log(`${length} tokens; grids ${[...imageGridThw]} ${[...videoGridThw]}`);
  const words = createTokenStream(processor.tokenizer);
  for await (const { tokens } of model.generate(inputs, { maxTokens: 32 })) {
    process.stdout.write(words.push(tokens[0]));
  }
  process.stdout.write(`${words.flush()}\n`);
}

const text = { type: 'text', text: question };
const images = [await readPicture(picture)];
const videos = [await readVideo(frames, 2)];
await ask([{ type: 'image' }, text], { images });
await ask([{ type: 'image' }, { type: 'video' }, text], { images, videos });
model.dispose();
await source.store.close();
