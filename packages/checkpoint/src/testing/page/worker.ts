/** Keeps a model where files are written in place. */
import { keepModel } from '../../keep/keep-model';
import type { Asked } from './page';

addEventListener('message', async ({ data }: MessageEvent<Asked>) => {
  const { url, ...options } = data;
  const onProgress = (progress: object) => postMessage({ progress });
  try {
    postMessage({ kept: await keepModel(url, { ...options, onProgress }) });
  } catch (error) {
    const { message, code } = error as Error & { code?: string };
    postMessage({ error: { message, code } });
  }
});
