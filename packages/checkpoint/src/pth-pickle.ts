/**
 * Recognises the pickle of one plain tensor, as `torch.save(tensor)` writes it. It is no pickle
 * machine: nothing is imported or called. The opcodes and the globals that such a pickle has are
 * allowed, each global has one meaning, and everything else is refused by name (deny-lists leak).
 */
import type { Dtype } from './dtype';
import { type PickledTensor, PickleReader, type PickleValue, refuse } from './pickle-reader';
import { quoteName } from './quote-name';

const STORAGES: ReadonlyMap<string, Dtype> = new Map([
  ['torch.DoubleStorage', 'F64'],
  ['torch.FloatStorage', 'F32'],
  ['torch.HalfStorage', 'F16'],
  ['torch.BFloat16Storage', 'BF16'],
  ['torch.LongStorage', 'I64'],
  ['torch.IntStorage', 'I32'],
  ['torch.ShortStorage', 'I16'],
  ['torch.CharStorage', 'I8'],
  ['torch.ByteStorage', 'U8'],
  ['torch.BoolStorage', 'BOOL'],
]);
const REBUILD = 'torch._utils._rebuild_tensor_v2';
const ORDERED_DICT = 'collections.OrderedDict';

/**
 * Recognises a one-tensor pickle.
 * @param bytes of `data.pkl`
 * @throws CheckpointError `bad-pickle`
 */
export function parseTensorPickle(bytes: Uint8Array): PickledTensor {
  const reader = new PickleReader(bytes);
  reader.expectProtocol();
  for (;;) {
    const opcode = reader.byte();
    if (opcode === 0x2e) break; // STOP
    step(reader, opcode);
  }
  if (reader.position !== bytes.byteLength) throw refuse('nothing may follow STOP');
  const result = reader.stack.pop();
  if (reader.stack.length !== 0 || result?.kind !== 'tensor') {
    throw refuse(
      'the result must be one tensor. A dictionary or a list of tensors is not read; save the tensor alone',
    );
  }
  return result.tensor;
}

function step(reader: PickleReader, opcode: number): void {
  const { stack } = reader;
  switch (opcode) {
    case 0x63: // GLOBAL
      stack.push(knownGlobal(`${reader.line()}.${reader.line()}`));
      return;
    case 0x71: // BINPUT
      reader.put(reader.byte());
      return;
    case 0x72: // LONG_BINPUT
      reader.put(reader.uint32());
      return;
    case 0x68: // BINGET
      stack.push(reader.get(reader.byte()));
      return;
    case 0x6a: // LONG_BINGET
      stack.push(reader.get(reader.uint32()));
      return;
    case 0x28: // MARK
      stack.push({ kind: 'mark' });
      return;
    case 0x74: // TUPLE
      stack.push(reader.popToMark());
      return;
    case 0x51: // BINPERSID
      stack.push(storageOf(reader.pop()));
      return;
    case 0x52: // REDUCE
      stack.push(reduce(reader));
      return;
    default:
      stack.push(atom(reader, opcode));
  }
}

function atom(reader: PickleReader, opcode: number): PickleValue {
  switch (opcode) {
    case 0x58: // BINUNICODE
      return { kind: 'string', text: reader.text(reader.uint32()) };
    case 0x4a: // BININT
      return { kind: 'int', value: reader.int32() };
    case 0x4b: // BININT1
      return { kind: 'int', value: reader.byte() };
    case 0x4d: // BININT2
      return { kind: 'int', value: reader.uint16() };
    case 0x29: // EMPTY_TUPLE
      return { kind: 'tuple', items: [] };
    case 0x85: // TUPLE1
    case 0x86: // TUPLE2
    case 0x87: // TUPLE3
      return reader.popTuple(opcode - 0x84);
    case 0x88: // NEWTRUE
    case 0x89: // NEWFALSE
      return { kind: 'bool' };
    default:
      throw refuse(`opcodes must be those of one plain tensor, got 0x${opcode.toString(16)}`);
  }
}

function knownGlobal(name: string): PickleValue {
  if (name !== REBUILD && name !== ORDERED_DICT && !STORAGES.has(name)) {
    throw refuse(
      `globals must be those of one plain tensor, got ${quoteName(name)}. Save a plain tensor (x.detach().clone()), or safetensors`,
    );
  }
  return { kind: 'global', name };
}

/** The persistent id ('storage', type, digits, device, numel). */
function storageOf(id: PickleValue): PickleValue {
  if (id.kind === 'tuple' && id.items.length === 5) {
    const [tag, type, key, device, count] = id.items as [
      PickleValue,
      PickleValue,
      PickleValue,
      PickleValue,
      PickleValue,
    ];
    const dtype = type.kind === 'global' ? STORAGES.get(type.name) : undefined;
    const sound =
      tag.kind === 'string' &&
      tag.text === 'storage' &&
      key.kind === 'string' &&
      /^\d{1,9}$/.test(key.text) &&
      device.kind === 'string' &&
      /^[a-z]{1,16}(:\d{1,4})?$/.test(device.text);
    if (sound && dtype !== undefined && count.kind === 'int' && count.value >= 0) {
      return { kind: 'storage', dtype, key: key.text, elements: count.value };
    }
  }
  throw refuse("a persistent id must be ('storage', type, digits, device, numel)");
}

function reduce(reader: PickleReader): PickleValue {
  const args = reader.pop();
  const callee = reader.pop();
  if (callee.kind !== 'global' || args.kind !== 'tuple') throw refuse('REDUCE must call a global');
  if (callee.name === ORDERED_DICT && args.items.length === 0) return { kind: 'hooks' };
  if (callee.name === REBUILD && args.items.length === 6) {
    return { kind: 'tensor', tensor: tensorOf(args.items) };
  }
  throw refuse(`REDUCE must rebuild a tensor, got ${callee.name} of ${args.items.length} values`);
}

/** The arguments (storage, offset, shape, stride, requires_grad, backward_hooks). */
function tensorOf(items: readonly PickleValue[]): PickledTensor {
  const [storage, offset, shape, stride, grad, hooks] = items;
  if (
    storage?.kind === 'storage' &&
    offset?.kind === 'int' &&
    offset.value >= 0 &&
    grad?.kind === 'bool' &&
    hooks?.kind === 'hooks'
  ) {
    const { dtype, key, elements } = storage;
    const dims = naturals(shape);
    const strides = naturals(stride);
    if (dims.length !== strides.length) throw refuse('shape and stride must have one length');
    return {
      dtype,
      key,
      storageElements: elements,
      offset: offset.value,
      shape: dims,
      stride: strides,
    };
  }
  throw refuse('a tensor must be rebuilt of (storage, offset, shape, stride, bool, OrderedDict())');
}

function naturals(value: PickleValue | undefined): number[] {
  const items = value?.kind === 'tuple' ? value.items : undefined;
  // 64 is the largest rank that torch knows.
  if (items === undefined || items.length > 64) throw refuse('shapes must be tuples of at most 64');
  return items.map((item) => {
    if (item.kind !== 'int' || item.value < 0) throw refuse('shapes must hold natural numbers');
    return item.value;
  });
}
