import { CheckpointError } from '@mha2mla/checkpoint';
import type { ResultOutput } from '../output/result-output';

/**
 * Check that what is still to be written fits, so that a full disk is told now, and not in hours.
 * Others may fill it meanwhile, so it is asked again after each layer.
 * @throws CheckpointError `disk-full`
 */
export async function assertRoom(output: ResultOutput, neededBytes: number): Promise<void> {
  const free = await output.freeBytes?.();
  if (free === undefined || free >= neededBytes) return;
  throw new CheckpointError(
    'disk-full',
    `convert: the disk must take ${neededBytes} bytes more, got ${free} that are free: ${neededBytes - free} are missing. Layers that were finished are kept; make room and resume.`,
  );
}
