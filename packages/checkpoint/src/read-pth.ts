/**
 * Reads a `.pth` file that holds one plain tensor, as `torch.save(tensor, path)` writes it since
 * torch 1.6: a ZIP archive with a pickle, checked by `parseTensorPickle`, and the storage's bytes.
 */
import type { ByteSource } from './byte-source';
import { CheckpointError } from './checkpoint-error';
import { type Dtype, dtypeBits } from './dtype';
import type { PickledTensor } from './pickle-reader';
import { parseTensorPickle } from './pth-pickle';
import { quoteName } from './quote-name';
import { openZip, type ZipArchive } from './zip-members';

/** A tensor of a `.pth` file. */
export interface PthTensor {
  dtype: Dtype;
  shape: number[];
  /** Elements in row-major order, little-endian. */
  data: Uint8Array;
}

// The pickle of one tensor has about 160 bytes, whatever the tensor's size.
const MAX_PICKLE_BYTES = 65_536;

/**
 * Reads a one-tensor `.pth` file.
 * @throws CheckpointError `bad-zip`, `bad-pickle`, `bad-pth`
 */
export async function readPth(source: ByteSource): Promise<PthTensor> {
  const archive = await openZip(source);
  const prefix = pickleFolder(source, archive);
  await assertLittleEndian(source, archive, prefix);
  const pickle = archive.members.get(`${prefix}data.pkl`)!;
  const tensor = parseTensorPickle(await archive.read(pickle));
  const storage = archive.members.get(`${prefix}data/${tensor.key}`);
  const itemBytes = dtypeBits(tensor.dtype) / 8;
  if (storage === undefined || storage.sizeBytes !== tensor.storageElements * itemBytes) {
    throw badPth(
      source,
      `storage ${tensor.key} must have ${tensor.storageElements} × ${itemBytes} bytes, got ${storage?.sizeBytes ?? 'no such member'}`,
    );
  }
  assertInside(source, tensor);
  const data = gather(await archive.read(storage), tensor, itemBytes);
  return { dtype: tensor.dtype, shape: tensor.shape, data };
}

/** The folder, with its slash, of the only `data.pkl`. */
function pickleFolder(source: ByteSource, archive: ZipArchive): string {
  const pickles = [...archive.members.values()].filter(({ name }) =>
    /^[^/]+\/data\.pkl$/.test(name),
  );
  const [pickle] = pickles;
  if (pickle === undefined || pickles.length > 1 || pickle.sizeBytes > MAX_PICKLE_BYTES) {
    throw badPth(
      source,
      `one */data.pkl of at most ${MAX_PICKLE_BYTES} bytes is expected, got ${pickles.length}`,
    );
  }
  return pickle.name.slice(0, -'data.pkl'.length);
}

async function assertLittleEndian(
  source: ByteSource,
  archive: ZipArchive,
  prefix: string,
): Promise<void> {
  const member = archive.members.get(`${prefix}byteorder`);
  if (member === undefined) return; // torch before 2.1 writes none, always little-endian
  const order = member.sizeBytes === 6 ? await archive.read(member) : new Uint8Array(0);
  if (String.fromCharCode(...order) !== 'little') {
    throw badPth(source, 'byteorder must be little');
  }
}

/** The elements that shape and stride reach must lie in the storage, and be no more than it has. */
function assertInside(
  source: ByteSource,
  { shape, stride, offset, storageElements }: PickledTensor,
): void {
  const count = shape.reduce((product, dim) => product * dim, 1);
  const last = shape.reduce((sum, dim, axis) => sum + (dim - 1) * stride[axis]!, offset);
  // `!(… <= …)`: products beyond 2^53 lose digits and even become infinite, but stay too large.
  // An expanded tensor (stride 0) could claim terabytes of one element; it is refused.
  if (!(count <= storageElements) || (count > 0 && !(last < storageElements))) {
    throw badPth(
      source,
      `shape [${shape}] and stride [${stride}] from ${offset} must lie in a storage of ${storageElements} elements. Save a contiguous tensor`,
    );
  }
}

/** Copies a strided tensor to row-major order. */
function gather(
  storage: Uint8Array,
  { shape, stride, offset }: PickledTensor,
  itemBytes: number,
): Uint8Array {
  const count = shape.reduce((product, dim) => product * dim, 1);
  const out = new Uint8Array(count * itemBytes);
  const index = shape.map(() => 0);
  let element = offset;
  for (let i = 0; i < count; i++) {
    const from = element * itemBytes;
    out.set(storage.subarray(from, from + itemBytes), i * itemBytes);
    // Count up the index, last axis first, carrying over.
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      element += stride[axis]!;
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      element -= stride[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

function badPth(source: ByteSource, problem: string): CheckpointError {
  return new CheckpointError('bad-pth', `readPth: in ${quoteName(source.name)} ${problem}.`);
}
