/**
 * What an unfinished run knows of itself: its options and inputs (the fingerprint), and size and
 * SHA-256 of each finished piece. Resuming with another option is refused and the option named.
 */
import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../checkpoint-error';
import { configValue, isConfigRecord } from '../config-values';
import { assertPlainName } from '../plain-name';
import { quoteName } from '../quote-name';
import { parseJson } from '../strict-json';
import { atomicWriteFile, type WrittenFile } from './atomic-write-file';

/** Name of the record in OUT.partial. */
export const RECORD_NAME = '.mha2mla-resume.json';

/** Options and hashes of inputs by name; values are compared as JSON. */
export type Fingerprint = Readonly<Record<string, unknown>>;

/** A record, kept in memory and on disk. */
export interface ResumeRecord {
  fingerprint: Fingerprint;
  pieces: Map<string, WrittenFile>;
}

/**
 * Reads the record of an unfinished run.
 * @returns `undefined` when there is none
 * @throws CheckpointError `resume-mismatch` for a record that is not ours, and those of `parseJson`
 */
export async function readRecord(folder: string): Promise<ResumeRecord | undefined> {
  const text = await readFile(join(folder, RECORD_NAME), 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const parsed = parseJson(text, RECORD_NAME);
  const fingerprint = isConfigRecord(parsed) ? configValue(parsed, 'fingerprint') : undefined;
  const pieces = isConfigRecord(parsed) ? configValue(parsed, 'pieces') : undefined;
  if (!isConfigRecord(fingerprint) || !isConfigRecord(pieces)) {
    throw new CheckpointError(
      'resume-mismatch',
      `readRecord: ${quoteName(join(folder, RECORD_NAME))} must be the record of an unfinished run. Delete the folder to start anew.`,
    );
  }
  return { fingerprint, pieces: new Map(Object.entries(pieces).map(parsePiece)) };
}

/** Writes the record, whole or not at all. */
export async function writeRecord(folder: string, record: ResumeRecord): Promise<void> {
  const { fingerprint, pieces } = record;
  const text = JSON.stringify({ fingerprint, pieces: Object.fromEntries(pieces) }, undefined, 1);
  await atomicWriteFile(join(folder, RECORD_NAME), text);
}

/**
 * Checks that a run is resumed with the options that it was started with.
 * @throws CheckpointError `resume-mismatch` naming each option that differs, with both values
 */
export function assertSameRun(folder: string, started: Fingerprint, now: Fingerprint): void {
  const differing = [...new Set([...Object.keys(started), ...Object.keys(now)])].filter(
    (key) => canonical(configValue(started, key)) !== canonical(configValue(now, key)),
  );
  if (differing.length === 0) return;
  const shown = differing.slice(0, 5).map((key) => {
    const [was, is] = [canonical(configValue(started, key)), canonical(configValue(now, key))];
    return `${quoteName(key)} (was ${quoteName(was)}, is ${quoteName(is)})`;
  });
  throw new CheckpointError(
    'resume-mismatch',
    `createOutputFolder: a run must be resumed as it was started, got another ${shown.join(', ')}. Resume it with the same options, inputs and version, or delete ${quoteName(folder)} to start anew.`,
  );
}

/** Size and SHA-256 of a file, read in pieces; `undefined` when it is absent. */
export async function hashFile(path: string): Promise<WrittenFile | undefined> {
  const handle = await open(path, 'r').catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (handle === undefined) return undefined;
  try {
    const hash = createHash('sha256');
    const buffer = new Uint8Array(1 << 20); // 1 MiB: larger reads are no faster
    let sizeBytes = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, sizeBytes);
      if (bytesRead === 0) return { sizeBytes, sha256: hash.digest('hex') };
      hash.update(buffer.subarray(0, bytesRead));
      sizeBytes += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

function parsePiece([name, value]: [string, unknown]): [string, WrittenFile] {
  const { sizeBytes, sha256 } = (isConfigRecord(value) ? value : {}) as Partial<WrittenFile>;
  // A broken entry matches no file, so its piece is made again.
  return [assertPlainName(name), { sizeBytes: Number(sizeBytes), sha256: String(sha256) }];
}

/** JSON with sorted keys: the order in which options were given does not matter. */
function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_, inner: unknown) =>
      isConfigRecord(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
        : inner,
    ) ?? 'nothing'
  );
}
