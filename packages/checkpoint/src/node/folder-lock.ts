/**
 * A lock file that says which process owns a folder. The lock of a process that is gone is taken
 * over: gone means that no process has its number, or that the one that has it started at another
 * time (numbers are used again, in containers at once).
 */
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { CheckpointError } from '../checkpoint-error';
import { quoteName } from '../quote-name';

/** Name of the lock file in the folder it locks. */
export const LOCK_NAME = '.mha2mla-lock';

// A lock is written right after it is created; an unreadable one older than this was torn.
const TORN_AFTER_MS = 10_000;

interface Owner {
  pid: number;
  host: string;
  /** Start time of the process in the kernel's ticks; empty where /proc is absent. */
  started: string;
}

/**
 * Locks a folder for this process.
 * @returns a function that unlocks it
 * @throws CheckpointError `output-locked` while another process, or another call, owns the folder
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, LOCK_NAME);
  const content = JSON.stringify(await ownerOf(process.pid));
  // Two rounds: a stale lock is moved away in the first and ours is made in the second.
  for (let round = 0; round < 2; round++) {
    if (await createExclusive(path, content)) {
      return () => rm(path, { force: true });
    }
    await removeStale(path, folder);
  }
  throw locked(folder, path, 'another process');
}

async function createExclusive(path: string, content: string): Promise<boolean> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return true;
}

/** Moves a stale lock away; throws when its owner lives. */
async function removeStale(path: string, folder: string): Promise<void> {
  const content = await readFile(path, 'utf8').catch(() => undefined);
  if (content === undefined) return; // unlocked meanwhile
  const owner = parseOwner(content);
  if (owner === undefined) {
    const age = Date.now() - (await stat(path)).mtimeMs;
    if (age < TORN_AFTER_MS) throw locked(folder, path, 'another process');
  } else if (await lives(owner)) {
    throw locked(folder, path, `process ${owner.pid} on ${quoteName(owner.host)}`);
  }
  // Two processes may find the same stale lock; whoever moves a fresh one puts it back.
  const aside = `${path}-${process.pid}`;
  await rename(path, aside).catch(() => {});
  const moved = await readFile(aside, 'utf8').catch(() => content);
  if (moved !== content) {
    await rename(aside, path);
    throw locked(folder, path, 'another process');
  }
  await rm(aside, { force: true });
}

async function lives(owner: Owner): Promise<boolean> {
  if (owner.host !== hostname()) return true; // cannot be told from here
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return (await ownerOf(owner.pid)).started === owner.started;
}

async function ownerOf(pid: number): Promise<Owner> {
  // Field 22 of /proc/PID/stat, counted after the name, which may hold spaces and brackets.
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const started = line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  return { pid, host: hostname(), started };
}

function parseOwner(content: string): Owner | undefined {
  try {
    const { pid, host, started } = JSON.parse(content) as Owner;
    const sound = Number.isSafeInteger(pid) && pid > 0 && typeof host === 'string';
    return sound ? { pid, host, started: String(started) } : undefined;
  } catch {
    return undefined;
  }
}

function locked(folder: string, path: string, who: string): CheckpointError {
  return new CheckpointError(
    'output-locked',
    `lockFolder: ${quoteName(folder)} must belong to one process, got ${who} at work in it. Wait for it; if it runs no more, delete ${quoteName(path)}.`,
  );
}
