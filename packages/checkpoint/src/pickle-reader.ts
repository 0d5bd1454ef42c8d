/**
 * The bytes, stack and memo of one pass over a pickle. Every read is bounded by the bytes, every
 * operand is there; what the values mean is `parseTensorPickle`'s business.
 */
import { CheckpointError } from './checkpoint-error';
import type { Dtype } from './dtype';
import { decodeUtf8 } from './utf8';

/** A tensor as its pickle describes it; counts are in elements. */
export interface PickledTensor {
  dtype: Dtype;
  /** Name of the member that holds the storage: digits. */
  key: string;
  storageElements: number;
  offset: number;
  shape: number[];
  stride: number[];
}

/** What can be on the stack of a recognised pickle. */
export type PickleValue =
  | { kind: 'global'; name: string }
  | { kind: 'string'; text: string }
  | { kind: 'int'; value: number }
  | { kind: 'bool' }
  | { kind: 'tuple'; items: PickleValue[] }
  | { kind: 'storage'; dtype: Dtype; key: string; elements: number }
  | { kind: 'hooks' } // an empty OrderedDict
  | { kind: 'tensor'; tensor: PickledTensor }
  | { kind: 'mark' };

/** Position, stack and memo of one pass. */
export class PickleReader {
  position = 0;
  readonly stack: PickleValue[] = [];
  readonly memo = new Map<number, PickleValue>();
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  expectProtocol(): void {
    if (this.byte() !== 0x80 || this.byte() !== 2) throw refuse('it must start with PROTO 2');
  }

  byte(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  text(length: number): string {
    const start = this.#advance(length);
    return decodeUtf8(this.#bytes.subarray(start, start + length), 'data.pkl');
  }

  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.position);
    if (end < 0) throw refuse('it must be whole');
    const line = this.text(end - this.position);
    this.position = end + 1;
    return line;
  }

  pop(): PickleValue {
    const value = this.stack.pop();
    if (value === undefined || value.kind === 'mark')
      throw refuse('each opcode must have its operands');
    return value;
  }

  popTuple(length: number): PickleValue {
    const items = Array.from({ length }, () => this.pop()).reverse();
    return { kind: 'tuple', items };
  }

  popToMark(): PickleValue {
    const mark = this.stack.map(({ kind }) => kind).lastIndexOf('mark');
    if (mark < 0) throw refuse('TUPLE must have its MARK');
    const items = this.stack.splice(mark).slice(1);
    return { kind: 'tuple', items };
  }

  put(index: number): void {
    const value = this.stack.at(-1);
    if (value === undefined || value.kind === 'mark') throw refuse('a memo entry must be a value');
    this.memo.set(index, value);
  }

  get(index: number): PickleValue {
    const value = this.memo.get(index);
    if (value === undefined) throw refuse(`memo entry ${index} must have been put`);
    return value;
  }

  #advance(length: number): number {
    const start = this.position;
    if (start + length > this.#bytes.byteLength) throw refuse('it must be whole');
    this.position += length;
    return start;
  }
}

/** The error for a pickle that is not one plain tensor; `problem` says what must hold. */
export function refuse(problem: string): CheckpointError {
  return new CheckpointError('bad-pickle', `readPth: in data.pkl ${problem}.`);
}
