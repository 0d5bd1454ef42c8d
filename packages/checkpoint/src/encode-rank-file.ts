/**
 * A rank file in the reference's form: what `torch.save` writes for one uint8 tensor, a ZIP of a
 * pickle (protocol 2) and the bytes of the storage. `readRankFile` reads it back.
 */
import { encodeZip } from './encode-zip';
import type { RankFile } from './read-rank-file';

/** @throws RangeError when the ranks are not as many as the shape says. */
export function encodeRankFile({ ranks, shape }: RankFile): Uint8Array {
  const [layers, kvHeads, headDim] = shape;
  if (ranks.length !== layers * kvHeads * headDim) {
    throw new RangeError(`encodeRankFile: ranks must be [${shape}], got ${ranks.length} values.`);
  }
  const text = (value: string) => new TextEncoder().encode(value);
  return encodeZip({
    'ranks/data.pkl': tensorPickle(shape),
    'ranks/byteorder': text('little'),
    'ranks/data/0': ranks,
    'ranks/version': text('3\n'),
  });
}

/** `_rebuild_tensor_v2(storage, 0, shape, stride, False, OrderedDict())` of a contiguous tensor. */
function tensorPickle(shape: RankFile['shape']): Uint8Array {
  const [layers, kvHeads, headDim] = shape;
  return Uint8Array.from([
    ...[PROTO, 2, ...global('torch._utils', '_rebuild_tensor_v2'), MARK],
    ...[MARK, ...unicode('storage'), ...global('torch', 'ByteStorage'), ...unicode('0')],
    ...[...unicode('cpu'), ...int32(layers * kvHeads * headDim), TUPLE, BINPERSID],
    ...[...int32(0), ...shape.flatMap(int32), TUPLE3],
    ...[...int32(kvHeads * headDim), ...int32(headDim), ...int32(1), TUPLE3, NEWFALSE],
    ...[...global('collections', 'OrderedDict'), EMPTY_TUPLE, REDUCE, TUPLE, REDUCE, STOP],
  ]);
}

const PROTO = 0x80;
const MARK = 0x28;
const TUPLE = 0x74;
const TUPLE3 = 0x87;
const EMPTY_TUPLE = 0x29;
const BINPERSID = 0x51;
const NEWFALSE = 0x89;
const REDUCE = 0x52;
const STOP = 0x2e;

/** GLOBAL: module and name, a line each. */
function global(module: string, name: string): number[] {
  return [0x63, ...new TextEncoder().encode(`${module}\n${name}\n`)];
}

/** BINUNICODE: length, then UTF-8. */
function unicode(value: string): number[] {
  return [0x58, ...bytes32(value.length), ...new TextEncoder().encode(value)];
}

/** BININT. */
function int32(value: number): number[] {
  return [0x4a, ...bytes32(value)];
}

function bytes32(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >> shift) & 0xff);
}
