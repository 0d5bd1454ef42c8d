/** Models that are kept in the browser's own storage: reading them again takes no network. */
import {
  type KeepProgress,
  type KeptModel,
  keptModels,
  openKept,
  removeKept,
} from '@mha2mla/checkpoint';
import type { ModelSource } from '@mha2mla/vlm-adapters';
import { signal } from '@preact/signals';
import { showBytes } from '../words/amounts';
import { announce } from '../words/announce';
import { type Explained, explainError } from '../words/explain-error';
import { addOwn, type Candidate, own, removeOwn } from './choice';
import { freeStorage } from './room';

export interface ToKeeper {
  name: string;
  source: ModelSource;
}

export type FromKeeper =
  | { progress: KeepProgress }
  | { done: true }
  | { error: { message: string; code?: string } };

/** The place of a candidate, in words. */
export const KEPT = 'kept in this browser';

export const kept = signal<readonly KeptModel[]>([]);
/** Bytes that the browser lets this page keep still. */
export const free = signal<number | undefined>(undefined);
export const keeping = signal<({ name: string } & KeepProgress) | undefined>(undefined);
export const keepProblem = signal<Explained | undefined>(undefined);
/** What was done last, in words. */
export const keepNote = signal('');

let keeper: Worker | undefined;

export async function refreshKept(): Promise<void> {
  free.value = await freeStorage();
  try {
    kept.value = await keptModels();
  } catch {
    kept.value = []; // a browser without such storage: nothing is kept in it
  }
}

/** Keep what is chosen, and take it from there from now on. */
export async function keep(candidate: Candidate): Promise<void> {
  if (await keepFrom(plainName(candidate.label), candidate.source)) {
    removeOwn(candidate);
    await useKept(plainName(candidate.label));
  }
}

/** Go on with a download that was cut. */
export async function resumeKept({ name, source }: KeptModel): Promise<void> {
  await keepFrom(name, source);
}

/** What has come by now is kept, and gone on from. */
export function stopKeeping(): void {
  keeper?.terminate();
  keeping.value = undefined;
  say('Stopped. What has come is kept; “Go on” brings the rest.');
  void refreshKept();
}

export async function useKept(name: string): Promise<void> {
  try {
    addOwn(name, KEPT, [...(await openKept(name)).files]);
  } catch (error) {
    keepProblem.value = explainError(error);
  }
}

export async function forget(name: string): Promise<void> {
  try {
    const freed = await removeKept(name);
    own.value.filter(({ label, place }) => label === name && place === KEPT).forEach(removeOwn);
    say(`Removed ${name}: ${showBytes(freed)} are free again.`);
  } catch (error) {
    keepProblem.value = explainError(error);
  }
  await refreshKept();
}

async function keepFrom(name: string, source: ModelSource): Promise<boolean> {
  keepProblem.value = undefined;
  const lasts = await navigator.storage?.persist?.().catch(() => false);
  const error = await askKeeper({ name, source });
  keeping.value = undefined;
  if (error) {
    keepProblem.value = explainError(error);
    announce(`${keepProblem.value.title} ${keepProblem.value.advice}`);
  } else {
    const until = lasts
      ? ''
      : ' The browser may clear it when space is short, or after weeks unused.';
    say(`${name} is kept in this browser.${until}`);
  }
  await refreshKept();
  return !error;
}

/** @returns what went wrong. */
function askKeeper(message: ToKeeper): Promise<unknown> {
  const worker = new Worker(new URL('../keep-worker.ts', import.meta.url), { type: 'module' });
  keeper = worker;
  keeping.value = { name: message.name, phase: 'check', loaded: 0, total: 0 };
  return new Promise((resolve) => {
    const end = (error?: unknown) => {
      worker.terminate();
      resolve(error);
    };
    worker.addEventListener('error', () => end({ message: 'no worker', code: 'worker-failed' }));
    worker.addEventListener('message', ({ data }: MessageEvent<FromKeeper>) => {
      if ('progress' in data) keeping.value = { name: message.name, ...data.progress };
      else end('error' in data ? data.error : undefined);
    });
    worker.postMessage(message);
  });
}

function say(words: string): void {
  keepNote.value = words;
  announce(words);
}

/** A name as of a file. */
function plainName(label: string): string {
  return label.replace(/[^\w.-]+/g, '-').replace(/^[.-]+/, '') || 'model';
}
