/** An engine and its store, for as long as a command needs them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine } from '../../jobs/engine';
import type { JobRuntime } from '../../jobs/job';
import type { SharedStore } from '../../jobs/job-store';
import { openStore, type StorePlace } from './open-store';
import { queueEngine } from './queue-engine';
import { threadEngine } from './thread-engine';

export interface EngineChoice {
  /** `threads` of this process, or the URL of a Redis server. */
  engine: string;
  /** A folder, or `s3://BUCKET/PREFIX`. */
  store: string;
  /** With a folder: where models lie. Default in it. */
  models?: string;
  /** Threads of this process. */
  workers: number;
  runtime: JobRuntime;
}

export interface EngineSession {
  engine: Engine;
  store: SharedStore;
  place: StorePlace;
}

/** @throws JobError `engine` for what does not answer. */
export async function withEngine<T>(
  { engine: choice, store: at, models, workers, runtime }: EngineChoice,
  use: (session: EngineSession) => Promise<T>,
): Promise<T> {
  return withScratch(async (scratch) => {
    const place = { place: at, scratch, models };
    const store = await openStore(place);
    const engine =
      choice === 'threads'
        ? threadEngine({ threads: workers, store: place, runtime })
        : await queueEngine({ url: choice, store, runtime });
    try {
      return await use({ engine, store, place });
    } finally {
      await engine.close();
    }
  });
}

/** A folder of this process, for contents that are in use. */
export async function withScratch<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'mha2mla-contents-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
