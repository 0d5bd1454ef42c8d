/**
 * The header of a safetensors file, with the checks of the Rust reader (safetensors/src/tensor.rs)
 * and those that JavaScript adds: equal keys, rounded integers, `__proto__` as a tensor name.
 * Layout: u64 little-endian header length N, N bytes of JSON, then the tensors' bytes.
 */
import type { ByteSource } from './byte-source';
import { CheckpointError } from './checkpoint-error';
import { type Dtype, dtypeBits, isDtype } from './dtype';
import { quoteName } from './quote-name';
import { parseJson } from './strict-json';
import { decodeUtf8 } from './utf8';

/** Where a tensor lies; offsets are absolute in its file. */
export interface TensorInfo {
  name: string;
  dtype: Dtype;
  shape: number[];
  file: string;
  /** First byte in the file. */
  start: number;
  /** Byte after the last one. */
  end: number;
}

/** What a safetensors file holds. */
export interface SafetensorsHeader {
  /** By name, in the order of their bytes. */
  tensors: Map<string, TensorInfo>;
  metadata: Map<string, string>;
}

/** Limits of `readSafetensorsHeader`. */
export interface ReadHeaderOptions {
  /** The Rust reader's cap, 100 MB: about a million tensors. A page uses 25 MB (25e6). */
  maxHeaderBytes?: number;
  signal?: AbortSignal;
}

// Deepest real header: file, entry, list. A field that we do not know may nest a little more.
const MAX_DEPTH = 16;
// Times the 64 bits of the largest element this is 2^53, so that sizes in bits are exact.
const MAX_ELEMENTS = 2 ** 47 - 1;
// The largest rank that NumPy and torch know is 64.
const MAX_RANK = 64;

/**
 * Reads and checks the header of a safetensors file.
 * @throws CheckpointError `header-*`, `span-*`, `shape-overflow`, `not-whole-bytes`,
 *   `unknown-dtype`, `not-utf8`, `not-json`, `not-object`, `duplicate-key`, `too-deep`
 */
export async function readSafetensorsHeader(
  source: ByteSource,
  { maxHeaderBytes = 100_000_000, signal }: ReadHeaderOptions = {},
): Promise<SafetensorsHeader> {
  const fail = failure(source.name);
  if (source.size < 8) {
    throw fail('header-too-small', `must hold at least 8 bytes, got ${source.size}`);
  }
  const prefix = await source.read(0, 8, signal);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) {
    throw fail(
      'header-too-large',
      `must have a header of at most ${maxHeaderBytes} bytes, got ${length}`,
    );
  }
  const dataStart = 8 + Number(length);
  if (dataStart > source.size) {
    throw fail(
      'header-past-end',
      `must hold its header of ${length} bytes, got ${source.size} bytes in all`,
    );
  }
  const text = decodeUtf8(await source.read(8, dataStart, signal), source.name);
  const parsed = parseJson(text, source.name, { maxDepth: MAX_DEPTH, naturalsOnly: true });
  if (!isRecord(parsed)) throw fail('not-object', 'must have a JSON object as its header');
  return parseEntries(parsed, source, dataStart);
}

function parseEntries(
  parsed: Record<string, unknown>,
  source: ByteSource,
  dataStart: number,
): SafetensorsHeader {
  const fail = failure(source.name);
  let metadata = new Map<string, string>();
  const infos: TensorInfo[] = [];
  for (const [name, value] of Object.entries(parsed)) {
    if (name === '__metadata__') metadata = parseMetadata(value, fail);
    else infos.push(parseEntry(name, value, source.name, dataStart, fail));
  }
  // Empty tensors share their offset with a neighbour: an empty one comes first.
  infos.sort((a, b) => a.start - b.start || a.end - b.end || (a.name < b.name ? -1 : 1));
  assertContiguous(infos, source.size, dataStart, fail);
  return { tensors: new Map(infos.map((info) => [info.name, info])), metadata };
}

function parseMetadata(value: unknown, fail: Fail): Map<string, string> {
  if (!isRecord(value)) throw fail('header-metadata', 'must have an object as __metadata__');
  const metadata = new Map<string, string>();
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') {
      throw fail(
        'header-metadata',
        `must map __metadata__ to strings, got ${typeof text} at ${quoteName(key)}`,
      );
    }
    metadata.set(key, text);
  }
  return metadata;
}

function parseEntry(
  name: string,
  value: unknown,
  file: string,
  dataStart: number,
  fail: Fail,
): TensorInfo {
  const at = quoteName(name);
  if (/\p{Cs}/u.test(name)) throw fail('header-entry', `must name tensors in Unicode, got ${at}`);
  if (!isRecord(value)) throw fail('header-entry', `must describe tensor ${at} by an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDtype(dtype)) {
    throw fail(
      'unknown-dtype',
      `must give tensor ${at} a known dtype, got ${quoteName(String(dtype))}`,
    );
  }
  if (!isNaturals(shape) || shape.length > MAX_RANK) {
    throw fail(
      'header-entry',
      `must give tensor ${at} a shape of at most ${MAX_RANK} natural numbers below 2^53`,
    );
  }
  if (!isNaturals(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw fail(
      'header-entry',
      `must give tensor ${at} data_offsets [start, end], start <= end, below 2^53`,
    );
  }
  const [start, end] = offsets as [number, number];
  const sizeBytes = tensorBytes(dtype, shape, at, fail);
  if (sizeBytes !== end - start) {
    throw fail(
      'span-mismatch',
      `must give tensor ${at} (${dtype} [${shape}]) ${sizeBytes} bytes, got ${end - start}`,
    );
  }
  return { name, dtype, shape, file, start: dataStart + start, end: dataStart + end };
}

/** Bytes of a tensor, exact: each partial product must stay below 2^47 elements. */
function tensorBytes(dtype: Dtype, shape: readonly number[], at: string, fail: Fail): number {
  let elements = 1;
  for (const dim of shape) {
    elements *= dim; // both below 2^53: a product that loses digits is far above the limit
    // Checked at each step as in Rust: [2^40, 2^40, 0] overflows although its product is 0.
    if (elements > MAX_ELEMENTS) {
      throw fail('shape-overflow', `must give tensor ${at} a size below 2^53 bits, got [${shape}]`);
    }
  }
  const bits = elements * dtypeBits(dtype);
  if (bits % 8 !== 0) {
    throw fail(
      'not-whole-bytes',
      `must give tensor ${at} (${dtype} [${shape}]) whole bytes, got ${bits} bits`,
    );
  }
  return bits / 8;
}

/** No hole, no overlap, no tail: a few MB could otherwise claim terabytes, or hide another format. */
function assertContiguous(
  infos: readonly TensorInfo[],
  sizeBytes: number,
  dataStart: number,
  fail: Fail,
): void {
  let position = dataStart;
  for (const info of infos) {
    if (info.start !== position) {
      throw fail(
        'span-gap',
        `must hold tensors without hole or overlap: ${quoteName(info.name)} must start at ${position - dataStart}, got ${info.start - dataStart}`,
      );
    }
    position = info.end;
  }
  if (position !== sizeBytes) {
    throw fail(
      'span-tail',
      `must end with its last tensor at byte ${position}, got ${sizeBytes} bytes. The file is cut short or has bytes appended`,
    );
  }
}

type Fail = (code: CheckpointError['code'], problem: string) => CheckpointError;

function failure(name: string): Fail {
  return (code, problem) =>
    new CheckpointError(code, `readSafetensorsHeader: ${quoteName(name)} ${problem}.`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNaturals(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
