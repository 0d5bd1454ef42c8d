/** Opens one stand-alone safetensors file. */
import type { ByteSource } from './byte-source';
import { type Checkpoint, checkpointOf } from './checkpoint';
import { type ReadHeaderOptions, readSafetensorsHeader } from './safetensors-header';

/**
 * Opens a safetensors file; only its header is read.
 * @throws CheckpointError as `readSafetensorsHeader` does
 */
export async function openSafetensors(
  source: ByteSource,
  options: ReadHeaderOptions = {},
): Promise<Checkpoint> {
  const { tensors, metadata } = await readSafetensorsHeader(source, options);
  return checkpointOf(tensors, metadata, new Map([[source.name, source]]));
}
