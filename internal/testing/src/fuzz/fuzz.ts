/**
 * The law of every reader of files: a case succeeds or throws an error of ours, soon, and with
 * memory that the file's size bounds. Cases come from a fixed seed; `FUZZ_RUNS` makes more of them.
 */
import fc from 'fast-check';
import { allocatedBytes } from './allocated-bytes';
import { byteEdits, editBytes } from './byte-edits';
import { editJson, jsonEdits } from './json-edits';

export interface FuzzOptions {
  /** Cases where `FUZZ_RUNS` does not say otherwise. */
  runs: number;
  /** Bytes that typed arrays may take in all. Default: see `MEMORY`. */
  maxBytes?: number;
}

export interface FuzzBytesOptions extends FuzzOptions {
  /** Where a reader looks most closely. Default: everywhere. */
  reach?: number;
  /** Leave out edits that change the length. */
  sameLength?: boolean;
}

/** Of the processor, so that a busy machine fails nothing; a case takes some milliseconds. */
const MAX_MS = 2000;
/** Each byte of a file is read, decoded and perhaps widened a few times; tables have a fixed size. */
const MEMORY = { perByte: 8, constant: 2 ** 20 };
/** Plain objects of a case, garbage included: JSON of a few MB takes ten times its text. */
const MAX_HEAP_BYTES = 512 * 2 ** 20;

/** Read the file with edits of its bytes, which begin before `reach`. */
export function fuzzBytes(
  bytes: Uint8Array,
  read: (bytes: Uint8Array) => unknown,
  { reach = bytes.length, sameLength, ...options }: FuzzBytesOptions,
): Promise<void> {
  return fuzz(byteEdits({ sameLength }), options, (edits) => {
    const edited = editBytes(bytes, edits, reach);
    return { size: edited.length, read: () => read(edited) };
  });
}

/** Read the document with edits of its values; `read` gets its text. */
export function fuzzJson(
  document: unknown,
  read: (text: string) => unknown,
  options: FuzzOptions,
): Promise<void> {
  return fuzz(jsonEdits, options, (edits) => {
    const text = editJson(document, edits);
    return { size: text.length, read: () => read(text) };
  });
}

/** Read cases of any kind. @param make gives a case's size in bytes, and what reads it. */
export async function fuzz<T>(
  cases: fc.Arbitrary<T>,
  { runs, maxBytes }: FuzzOptions,
  make: (input: T) => { size: number; read: () => unknown },
): Promise<void> {
  const property = fc.asyncProperty(cases, async (input) => {
    const { size, read } = make(input);
    await assertReaderLaw(read, maxBytes ?? MEMORY.constant + MEMORY.perByte * size);
  });
  await fc.assert(property, {
    seed: 1,
    numRuns: Number(globalThis.process?.env.FUZZ_RUNS ?? runs),
  });
}

/** Fail unless `read` succeeds or throws an error of ours, within limits of time and memory. */
async function assertReaderLaw(read: () => unknown, maxBytes: number): Promise<void> {
  const before = spent();
  const { bytes, error } = await allocatedBytes(read);
  const after = spent();
  const milliseconds = after.milliseconds - before.milliseconds;
  const heapBytes = after.heapBytes - before.heapBytes;
  if (error !== undefined && !isOurs(error)) {
    throw new Error('a reader must succeed or throw an error of ours, fit to be printed', {
      cause: error,
    });
  }
  const within = milliseconds <= MAX_MS && bytes <= maxBytes && heapBytes <= MAX_HEAP_BYTES;
  if (!within) {
    throw new Error(
      `a reader must end within ${MAX_MS} ms, ${maxBytes} bytes of arrays and ${MAX_HEAP_BYTES} of objects, got ${milliseconds} ms, ${bytes} and ${heapBytes}.`,
    );
  }
}

/** Of the process; a page knows its clock alone, and its objects in Chromium. */
function spent(): { milliseconds: number; heapBytes: number } {
  if ('document' in globalThis) {
    const { memory } = performance as unknown as { memory?: { usedJSHeapSize: number } };
    return { milliseconds: performance.now(), heapBytes: memory?.usedJSHeapSize ?? 0 };
  }
  const { user, system } = process.cpuUsage();
  return { milliseconds: (user + system) / 1000, heapBytes: process.memoryUsage().heapUsed };
}

/** `fn: what must hold …`, perhaps after the place that a data file's entry stands at. */
const MESSAGE = /^(?:(?:entry \d+ of )?"[^"]*": )?[A-Za-z]\w*: \S/;

/** Controls, direction marks and line separators: what could drive a terminal. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/** A message quotes a few names and values, none of them whole if it is long. */
const MAX_MESSAGE = 2000;

function isOurs(error: unknown): boolean {
  if (!(error instanceof Error) || UNPRINTABLE.test(error.message)) return false;
  if (error.message.length > MAX_MESSAGE) return false;
  if (error.name === 'CheckpointError') return true;
  return (
    ['JobError', 'RangeError', 'TypeError'].includes(error.name) && MESSAGE.test(error.message)
  );
}
