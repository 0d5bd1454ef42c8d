import { memoryStore, openCheckpoint, writeSafetensors } from '@mha2mla/checkpoint';

/** Writes a file in memory and reads a row of it. */
export async function use() {
  let file = new Blob();
  const sink = {
    write: async (bytes: Uint8Array) => {
      file = new Blob([file, new Uint8Array(bytes)]);
    },
  };
  const entry = { name: 'w', dtype: 'BF16', shape: [2, 2] } as const;
  await writeSafetensors(sink, [entry], () => Float32Array.of(1, 2, 3, 4.001));
  const store = memoryStore({ 'model.safetensors': new Uint8Array(await file.arrayBuffer()) });
  const checkpoint = await openCheckpoint(store);
  return [...(await checkpoint.readFloat32('w', { rows: [1, 2] }))]; // [3, 4]
}
