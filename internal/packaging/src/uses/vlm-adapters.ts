import { llava, loadModel } from '@mha2mla/vlm-adapters';
import '@tensorflow/tfjs-backend-wasm';

/** What a model at an address says of a grey picture. */
export async function use(model: string) {
  const opened = await loadModel(model, { families: [llava], backend: 'wasm' });
  const image = { data: new Uint8Array(64 * 64 * 3).fill(128), width: 64, height: 64 };
  const text = 'list all the objects in order.';
  const content = [
    { type: 'image' as const, image },
    { type: 'text' as const, text },
  ];
  const { usage, finishReason } = await opened.chat([{ role: 'user', content }], { maxTokens: 2 });
  await opened.dispose();
  return [finishReason, usage.outputTokens];
}
