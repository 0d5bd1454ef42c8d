/** Edits of a file's bytes, described so that a failing case prints as a few lines. */
import fc from 'fast-check';

export interface ByteEdit {
  kind: 'set' | 'flip' | 'insert' | 'repeat' | 'remove' | 'cut' | 'word';
  /** Where, modulo the length. */
  at: number;
  /** How far, or which bit. */
  length: number;
  value: number;
}

/** What means something in JSON, ZIP and pickle, and the ends of a byte. */
const LETTERS = codesOf('{}[]",:\\0129-e.PK(tRQqhXcKMJ\n ');
const OTHERS = codesOf('\0\x80\x85\x87\xff\x7f');

/** Sizes and offsets that overflow, as 64 bits. */
const WORDS = [0n, 1n, 0x7fff_ffffn, 0xffff_ffffn, 2n ** 53n, 2n ** 63n - 1n, 2n ** 64n - 1n];

const SAME_LENGTH = ['set', 'set', 'flip', 'word'] as const;
const ALL = [...SAME_LENGTH, 'set', 'insert', 'repeat', 'remove', 'cut'] as const;

/** Mostly one edit, at most six: a file of many faults is refused at the first of them. */
export function byteEdits({ sameLength = false } = {}): fc.Arbitrary<ByteEdit[]> {
  const edit = fc.record({
    kind: fc.constantFrom<ByteEdit['kind'][]>(...(sameLength ? SAME_LENGTH : ALL)),
    at: fc.nat(),
    length: fc.nat(64),
    value: fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...LETTERS) },
      { weight: 1, arbitrary: fc.constantFrom(...OTHERS) },
      { weight: 1, arbitrary: fc.nat(255) },
    ),
  });
  return fc.oneof(
    { weight: 3, arbitrary: fc.tuple(edit) },
    { weight: 1, arbitrary: fc.array(edit, { minLength: 1, maxLength: 6 }) },
  );
}

function codesOf(text: string): number[] {
  return [...text].map((character) => character.charCodeAt(0));
}

/** @param reach edits begin before it, modulo; where a reader looks most closely. */
export function editBytes(
  bytes: Uint8Array,
  edits: readonly ByteEdit[],
  reach: number,
): Uint8Array {
  let edited: Uint8Array = bytes.slice();
  for (const edit of edits) edited = editOnce(edited, edit, reach);
  return edited;
}

function editOnce(
  bytes: Uint8Array,
  { kind, at, length, value }: ByteEdit,
  reach: number,
): Uint8Array {
  if (bytes.length === 0) return bytes;
  const start = at % Math.min(reach, bytes.length);
  const end = Math.min(start + length, bytes.length);
  const around = (middle: Uint8Array, rest: number) => {
    const tail = bytes.subarray(rest);
    const joined = new Uint8Array(start + middle.length + tail.length);
    joined.set(bytes.subarray(0, start));
    joined.set(middle, start);
    joined.set(tail, start + middle.length);
    return joined;
  };
  switch (kind) {
    case 'set':
      bytes[start] = value;
      return bytes;
    case 'flip':
      bytes[start]! ^= 1 << (length % 8);
      return bytes;
    case 'insert':
      return around(Uint8Array.of(value), start);
    case 'repeat':
      return around(bytes.subarray(start, end), start);
    case 'remove':
      return around(new Uint8Array(0), end);
    case 'cut':
      return bytes.slice(0, at % bytes.length);
    case 'word': {
      const word = new Uint8Array(8);
      new DataView(word.buffer).setBigUint64(0, WORDS[value % WORDS.length]!, true);
      bytes.set(word.subarray(0, bytes.length - start), start);
      return bytes;
    }
  }
}
