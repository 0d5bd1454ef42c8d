import { encodeRankFile, type RankFile, writeSafetensors } from '@mha2mla/checkpoint';
import { atomicWriteFile } from '@mha2mla/checkpoint/node';
import { assertFilePlace } from './assert-file-place';
import { UsageError } from './usage-error';

/** Before anything runs: the name must say which of the two forms is meant, and be free. */
export async function assertRanksPlace(path: string): Promise<void> {
  if (!/\.(pth|safetensors)$/.test(path)) {
    throw new UsageError(
      `convert: --save-ranks must end in .safetensors or .pth, got ${JSON.stringify(path)}.`,
    );
  }
  await assertFilePlace('convert: --save-ranks', path);
}

/** Write a rank file: as the Python reference has it, or as safetensors with one tensor `ranks`. */
export async function saveRanks(path: string, file: RankFile): Promise<void> {
  const entry = { name: 'ranks', dtype: 'U8' as const, shape: file.shape };
  await atomicWriteFile(path, (sink) =>
    path.endsWith('.pth')
      ? sink.write(encodeRankFile(file))
      : writeSafetensors(sink, [entry], async () => file.ranks),
  );
}
