/** Holds a config against the weights before anything is allocated for either. */
import type { Checkpoint } from './checkpoint';
import { CheckpointError } from './checkpoint-error';
import { quoteName } from './quote-name';
import type { TensorInfo } from './safetensors-header';

/**
 * Checks that a weight is there, has the shape that the config says, and is not empty.
 * @param checkpoint or anything with its `tensors`
 * @returns the tensor's info
 * @throws CheckpointError `missing-tensor`, `wrong-shape`
 */
export function assertTensorShape(
  { tensors }: Pick<Checkpoint, 'tensors'>,
  name: string,
  shape: readonly number[],
): TensorInfo {
  const info = tensors.get(name);
  if (info === undefined) {
    throw new CheckpointError(
      'missing-tensor',
      `assertTensorShape: tensor ${quoteName(name)} [${shape}] must be in the checkpoint, got ${tensors.size} others.`,
    );
  }
  const same = info.shape.length === shape.length && info.shape.every((dim, i) => dim === shape[i]);
  if (!same || shape.includes(0)) {
    throw new CheckpointError(
      'wrong-shape',
      `assertTensorShape: ${quoteName(name)} must have shape [${shape}] without empty dimensions, got [${info.shape}]. Do config.json and weights belong together?`,
    );
  }
  return info;
}
