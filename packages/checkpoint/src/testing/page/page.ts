/** A page that keeps models, itself and by workers, for chromium-keep.test.ts. */
import { type KeepProgress, keepModel } from '../../keep/keep-model';
import { keptModels } from '../../keep/kept-models';
import { openKept } from '../../keep/open-kept';
import { removeKept } from '../../keep/remove-kept';
import { sha256 } from '../../keep/sha256';

export interface Asked {
  url: string;
  name: string;
  pieceBytes: number;
}

/** How a model is kept by one worker. */
export interface Kept {
  /** Bytes that were there already. */
  checked: number;
  loaded: number;
  error?: { message: string; code?: string };
}

interface Running {
  ended: Promise<Kept>;
  /** End the worker, as a closed tab would, once so many bytes are kept. */
  endAt(bytes: number): Promise<Kept>;
}

function start(asked: Asked): Running {
  const worker = new Worker('/worker.js', { type: 'module' });
  const seen: Kept = { checked: 0, loaded: 0 };
  let onLoaded = () => {};
  const ended = new Promise<Kept>((resolve) => {
    worker.addEventListener('message', ({ data }) => {
      const { phase, loaded } = (data.progress ?? {}) as Partial<KeepProgress>;
      if (phase) seen.loaded = loaded!;
      if (phase === 'check') seen.checked = loaded!;
      onLoaded();
      if (data.progress) return;
      worker.terminate();
      resolve(data.error ? { ...seen, error: data.error } : seen);
    });
  });
  worker.postMessage(asked);
  const endAt = (bytes: number) =>
    new Promise<Kept>((resolve) => {
      onLoaded = () => {
        if (seen.loaded < bytes) return;
        worker.terminate();
        resolve(seen);
      };
      void ended.then(resolve);
    });
  return { ended, endAt };
}

const keep = (asked: Asked) => start(asked).ended;
const keepUntil = (asked: Asked, bytes: number) => start(asked).endAt(bytes);
const keepTwice = (asked: Asked) => Promise.all([start(asked).ended, start(asked).ended]);

/** The same without a worker: files are written as copies. */
const keepHere = async ({ url, ...options }: Asked) => {
  const { sizeBytes } = await keepModel(url, options);
  return sizeBytes;
};

/** What removal says while a worker keeps the model. */
async function removeBusy(asked: Asked) {
  const { endAt } = start(asked);
  const end = endAt(1);
  const locks = async () => (await navigator.locks.query()).held?.length ?? 0;
  while ((await locks()) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  const code = await removeKept(asked.name).catch((error) => error.code);
  await end;
  return code;
}

/** SHA-256 of each kept file. */
async function hashes(name: string): Promise<Record<string, string>> {
  const { files } = await openKept(name);
  const entries = files.map(async (file) => {
    return [file.name, await sha256(new Uint8Array(await file.arrayBuffer()))] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

const list = async () => (await keptModels()).map(({ date: _, ...model }) => model);
const openCode = (name: string) => openKept(name).catch((error) => error.code);
const usage = async () => (await navigator.storage.estimate()).usage;

Object.assign(globalThis, {
  ...{ keep, keepUntil, keepTwice, keepHere, removeBusy },
  ...{ hashes, list, openCode, usage, removeKept },
});
