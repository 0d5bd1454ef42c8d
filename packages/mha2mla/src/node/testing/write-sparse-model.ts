/** Write a model's folder at its real size, with holes for weights: headers and no data. */
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PublishedModel } from './published-models';

/** Hugging Face cuts files before they have more. */
const MAX_SHARD_BYTES = 5e9;

/** @returns bytes that the shards have in all; the disk holds their headers only. */
export async function writeSparseModel(
  folder: string,
  { config, dtype, tensors }: PublishedModel,
): Promise<number> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  const shards = shardsOf(tensors);
  const names = shards.map(
    (_, i) => `model-${padded(i + 1)}-of-${padded(shards.length)}.safetensors`,
  );
  let total = 0;
  for (const [i, shard] of shards.entries()) {
    total += await writeSparseFile(join(folder, names[i]!), shard, dtype);
  }
  const entries = shards.flatMap((shard, i) => shard.map(([name]) => [name, names[i]]));
  const index = { metadata: { total_size: total }, weight_map: Object.fromEntries(entries) };
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
  return total;
}

type Entry = readonly [name: string, shape: readonly number[]];

function shardsOf(tensors: PublishedModel['tensors']): Entry[][] {
  const shards: Entry[][] = [[]];
  let size = 0;
  for (const entry of tensors) {
    const bytes = bytesOf(entry);
    if (size + bytes > MAX_SHARD_BYTES) {
      shards.push([]);
      size = 0;
    }
    size += bytes;
    shards.at(-1)!.push(entry);
  }
  return shards;
}

async function writeSparseFile(path: string, entries: readonly Entry[], dtype: string) {
  let offset = 0;
  const spans = entries.map((entry) => {
    const start = offset;
    offset += bytesOf(entry);
    return [entry[0], { dtype, shape: entry[1], data_offsets: [start, offset] }];
  });
  const header = Buffer.from(
    JSON.stringify({ __metadata__: { format: 'pt' }, ...Object.fromEntries(spans) }),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = await open(path, 'w');
  try {
    await file.writeFile(Buffer.concat([length, header]));
    await file.truncate(8 + header.length + offset);
  } finally {
    await file.close();
  }
  return offset;
}

/** Both types of published weights have 16 bits. */
function bytesOf([, shape]: Entry): number {
  return 2 * shape.reduce((product, size) => product * size, 1);
}

function padded(number: number): string {
  return String(number).padStart(5, '0');
}
