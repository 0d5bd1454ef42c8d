import { readFileSync } from 'node:fs';
import { fixture } from '@mha2mla/testing';
import { describe, expect, it } from 'vitest';
import { crc32 } from './crc32';
import { memorySource } from './memory-store';
import { readPth } from './read-pth';
import { readRankFile } from './read-rank-file';

const RANKS = 'fixtures/hf/llava/mha2mla/ranks';
const file = (path: string) => new Uint8Array(readFileSync(fixture(path)));
const latin = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));

interface Member {
  name: string;
  data: Uint8Array;
  method?: number;
  flags?: number;
  size?: number;
  headerStart?: number;
}

/** A ZIP of stored members; fields of the directory may be bent. */
function zip(members: readonly Member[]): Uint8Array {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let position = 0;
  for (const {
    name,
    data,
    method = 0,
    flags = 0x808,
    size = data.length,
    headerStart,
  } of members) {
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(flags, 6);
    local.writeUInt16LE(method, 8);
    local.writeUInt16LE(name.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(flags, 8);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(crc32(data), 16);
    entry.writeUInt32LE(size, 20);
    entry.writeUInt32LE(size, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(headerStart ?? position, 42);
    locals.push(local, Buffer.from(name), Buffer.from(data));
    directory.push(entry, Buffer.from(name));
    position += 30 + name.length + data.length;
  }
  const end = Buffer.alloc(22);
  const directoryBytes = Buffer.concat(directory);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(directoryBytes.length, 12);
  end.writeUInt32LE(position, 16);
  return new Uint8Array(Buffer.concat([...locals, directoryBytes, end]));
}

interface PickleOptions {
  type?: string;
  numel?: number;
  offset?: number;
  shape?: number[];
  stride?: number[];
}

const int = (n: number) =>
  `J${String.fromCharCode(n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >> 24) & 255)}`;
const tuple = (ns: number[]) => `(${ns.map(int).join('')}t`;
const text = (s: string) => `X${String.fromCharCode(s.length, 0, 0, 0)}${s}`;

/** The pickle of one tensor, as text of bytes. */
function pickle({
  type = 'torch\nIntStorage',
  numel = 6,
  offset = 0,
  shape = [2, 3],
  stride = [3, 1],
}: PickleOptions = {}) {
  const storage = `(${text('storage')}c${type}\n${text('0')}${text('cpu')}${int(numel)}tQ`;
  return `\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(${storage}${int(offset)}${tuple(shape)}${tuple(stride)}\x89ccollections\nOrderedDict\n)RtR.`;
}

const int32Bytes = (...values: number[]) => new Uint8Array(Int32Array.from(values).buffer);
const SIX = int32Bytes(0, 1, 2, 3, 4, 5);

function pth(pkl: string, storage = SIX, extra: Member[] = []): Uint8Array {
  return zip([
    { name: 'x/data.pkl', data: latin(pkl) },
    { name: 'x/byteorder', data: latin('little') },
    { name: 'x/data/0', data: storage },
    ...extra,
  ]);
}
const read = (bytes: Uint8Array) => readPth(memorySource(bytes, 'x.pth'));

describe('readPth', () => {
  it('the published form gives what its safetensors twin holds', async () => {
    const fromPth = await readRankFile(memorySource(file(`${RANKS}.pth`)));
    const fromSafetensors = await readRankFile(memorySource(file(`${RANKS}.safetensors`)));
    expect(fromPth).toEqual(fromSafetensors);
    expect(fromPth.shape).toEqual([4, 4, 32]);
    expect(new Set(fromPth.ranks).size).toBe(16);
  });

  it('a plain tensor reads', async () => {
    expect(await read(pth(pickle()))).toEqual({ dtype: 'I32', shape: [2, 3], data: SIX });
  });

  it('a transposed tensor and a view with an offset are gathered', async () => {
    const transposed = await read(pth(pickle({ shape: [3, 2], stride: [1, 3] })));
    expect(transposed.data).toEqual(int32Bytes(0, 3, 1, 4, 2, 5));
    const view = await read(pth(pickle({ offset: 1, shape: [2, 2], stride: [3, 1] })));
    expect(view.data).toEqual(int32Bytes(1, 2, 4, 5));
    const scalar = await read(pth(pickle({ offset: 5, shape: [], stride: [] })));
    expect(scalar.data).toEqual(int32Bytes(5));
    const empty = await read(pth(pickle({ shape: [0, 3], stride: [3, 1] })));
    expect(empty.data.length).toBe(0);
  });

  it.each([
    ['beyond its storage', { offset: 1 }],
    ['a stride beyond its storage', { stride: [4, 1] }],
    ['expanded without end', { shape: [2 ** 30, 2 ** 30], stride: [0, 0] }],
    [
      'sizes whose product is infinite',
      { shape: Array(40).fill(2 ** 30), stride: Array(40).fill(0) },
    ],
    ['more elements than stored', { numel: 7 }],
    ['another item size', { type: 'torch\nLongStorage' }],
  ])('a tensor %s is refused', async (_, options) => {
    await expect(read(pth(pickle(options)))).rejects.toMatchObject({ code: 'bad-pth' });
  });

  it.each([
    ['another global', pickle().replace('torch._utils\n_rebuild_tensor_v2', 'os\nsystem')],
    ['nn.Parameter', pickle().replace('_rebuild_tensor_v2', '_rebuild_parameter')],
    ['a storage type that is not known', pickle({ type: 'torch\nUInt16Storage' })],
    ['bytes after STOP', `${pickle()}N`],
    ['no STOP', pickle().slice(0, -1)],
    ['another protocol', pickle().replace('\x80\x02', '\x80\x04')],
    ['an opcode beyond the list (BUILD)', pickle().replace(/\.$/, 'b.')],
    ['a second PROTO', pickle().replace(/\.$/, '\x80\x02.')],
    ['a second value', pickle().replace(/\.$/, ')).')],
    ['a result that is no tensor', '\x80\x02).'],
    ['an empty stack', '\x80\x02R.'],
    ['a memo entry never put', '\x80\x02h\x01.'],
    ['a storage key that is a path', pickle().replace(text('0'), text('../0'))],
    ['a negative size', pickle({ shape: [-2, 3] })],
    ['shape and stride of two lengths', pickle({ stride: [1] })],
    ['text longer than the file', pickle().replace(text('cpu'), 'X\xff\xff\xff\x7fcpu')],
    ['a mark as an operand', '\x80\x02ccollections\nOrderedDict\n(R.'],
    ['an OrderedDict with content', pickle().replace('OrderedDict\n)R', 'OrderedDict\n(K\x01tR')],
  ])('a pickle with %s is refused', async (_, pkl) => {
    await expect(read(pth(pkl))).rejects.toMatchObject({ code: 'bad-pickle' });
  });

  it('the memo in its long and GET forms is understood', async () => {
    const hooks = 'ccollections\nOrderedDict\n)R';
    const memo = pickle()
      .replace(text('cpu'), `${text('cpu')}q\x07r\x08\x00\x00\x00`)
      .replace(hooks, `${hooks}r\x01\x01\x00\x00`);
    expect((await read(pth(memo))).shape).toEqual([2, 3]);
    const got = `\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(${pickle().slice(pickle().indexOf('(') + 1, pickle().indexOf('tQ') + 2)}K\x00K\x06\x85K\x01q\x05\x85\x88${hooks}tR.`;
    expect((await read(pth(got))).shape).toEqual([6]);
    const again = got.replace('K\x06\x85', 'K\x06q\x02h\x02\x86');
    await expect(read(pth(again))).rejects.toMatchObject({ code: 'bad-pickle' }); // rank 2, stride 1
  });
});

describe('its ZIP', () => {
  const member = (name: string, change: Partial<Member> = {}) => ({ name, data: SIX, ...change });

  it.each([
    ['a compressed member', [member('x/a', { method: 8 })]],
    ['an encrypted member', [member('x/a', { flags: 0x809 })]],
    ['a name twice', [member('x/data/0')]],
    ['a size beyond the file', [member('x/a', { size: 1 << 30 })]],
    ['a header beyond the file', [member('x/a', { headerStart: 1 << 30 })]],
    ['two members on the same bytes', [member('x/data.pkl', { headerStart: 0 })]],
    ['too many members', Array.from({ length: 65 }, (_, i) => member(`x/m${i}`))],
  ])('%s is refused', async (_, extra) => {
    await expect(read(pth(pickle(), SIX, extra))).rejects.toMatchObject({ code: 'bad-zip' });
  });

  it('bytes after the end, a cut file and no ZIP at all are refused', async () => {
    const bytes = pth(pickle());
    const refused = { code: 'bad-zip' };
    await expect(read(new Uint8Array([...bytes, 0]))).rejects.toMatchObject(refused);
    await expect(read(bytes.slice(0, -1))).rejects.toMatchObject(refused);
    await expect(read(new Uint8Array(10))).rejects.toMatchObject(refused);
    await expect(read(new Uint8Array(0))).rejects.toMatchObject(refused);
  });

  it('a flipped bit in the storage is found by its CRC', async () => {
    const bytes = file(`${RANKS}.pth`);
    bytes[500]! ^= 1;
    await expect(read(bytes)).rejects.toMatchObject({ code: 'bad-zip' });
  });

  it('big-endian files, two pickles and none are refused', async () => {
    const data = latin(pickle());
    const refused = { code: 'bad-pth' };
    const storage = { name: 'x/data/0', data: SIX };
    const big = zip([
      { name: 'x/data.pkl', data },
      { name: 'x/byteorder', data: latin('big') },
      storage,
    ]);
    await expect(read(big)).rejects.toMatchObject(refused);
    await expect(read(pth(pickle(), SIX, [{ name: 'y/data.pkl', data }]))).rejects.toMatchObject(
      refused,
    );
    await expect(read(zip([storage]))).rejects.toMatchObject(refused);
    const long = new Uint8Array(70_000);
    await expect(read(zip([{ name: 'x/data.pkl', data: long }, storage]))).rejects.toMatchObject(
      refused,
    );
  });
});

describe('readRankFile', () => {
  it('shapes and values that are no ranks are refused', async () => {
    const refused = { code: 'bad-ranks' };
    await expect(readRankFile(memorySource(pth(pickle())))).rejects.toMatchObject(refused);
    const negative = pth(
      pickle({ shape: [1, 3, 2], stride: [6, 2, 1] }),
      int32Bytes(-1, 0, 0, 0, 0, 0),
    );
    await expect(readRankFile(memorySource(negative))).rejects.toMatchObject(refused);
    const many = memorySource(file('fixtures/hf/llava/mha2mla/rope_idx.safetensors'));
    await expect(readRankFile(many)).rejects.toMatchObject(refused);
  });
});
