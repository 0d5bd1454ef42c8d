import { CheckpointError } from './checkpoint-error';
import { quoteName } from './quote-name';
import type { TensorInfo } from './safetensors-header';

/** Checks that rows [first, end) are of the tensor. @throws CheckpointError `bad-range` */
export function assertRows(
  { name, shape }: Pick<TensorInfo, 'name' | 'shape'>,
  [first, end]: readonly [number, number],
): void {
  const count = shape[0] ?? 0;
  const whole = Number.isSafeInteger(first) && Number.isSafeInteger(end);
  if (whole && first >= 0 && first <= end && end <= count) return;
  throw new CheckpointError(
    'bad-range',
    `readFloat32: rows of ${quoteName(name)} must lie in 0..${count}, got ${first}..${end}.`,
  );
}
