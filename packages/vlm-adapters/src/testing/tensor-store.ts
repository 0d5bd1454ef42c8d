import { type FileStore, memoryStore, writeSafetensors } from '@mha2mla/checkpoint';

export interface StoredTensor {
  shape: readonly number[];
  data: Float32Array;
}

/** A checkpoint folder in memory: config.json, and tensors by stored name, as F32. */
export async function tensorStore(
  config: unknown,
  tensors: ReadonlyMap<string, StoredTensor>,
): Promise<FileStore> {
  const pieces: Uint8Array[] = [];
  await writeSafetensors(
    { write: async (bytes) => void pieces.push(bytes.slice()) },
    [...tensors].map(([name, { shape }]) => ({ name, dtype: 'F32', shape })),
    ({ name }) => tensors.get(name)!.data,
  );
  return memoryStore({
    'config.json': JSON.stringify(config),
    'model.safetensors': new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer()),
  });
}
