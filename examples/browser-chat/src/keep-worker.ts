/** Keeps a model in the browser's own storage; a worker may write in place, a page may not. */
import { blobStore, keepModel } from '@mha2mla/checkpoint';
import type { FromKeeper, ToKeeper } from './model/kept';

const send = (message: FromKeeper) => postMessage(message);

addEventListener('message', async ({ data }: MessageEvent<ToKeeper>) => {
  const { name, source } = data;
  try {
    await keepModel(typeof source === 'string' ? source : blobStore(source), {
      name,
      onProgress: (progress) => send({ progress }),
    });
    send({ done: true });
  } catch (error) {
    const { message, code } = error as { message: string; code?: string };
    send({ error: { message, ...(code !== undefined && { code }) } });
  }
});
