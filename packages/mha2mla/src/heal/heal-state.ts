/** What a stopped healing run needs to go on to the same weights: a safetensors file and its steps. */
import { type ByteSink, type Checkpoint, writeSafetensors } from '@mha2mla/checkpoint';
import type { AdamW, TrainableParameter } from '@mha2mla/peft';
import * as tf from '@tensorflow/tfjs-core';

export interface HealState {
  /** Of each update that was done. */
  losses: readonly number[];
  /** Parameters by name, and the optimizer's moments `<name>.exp_avg`, `<name>.exp_avg_sq`. */
  tensors: ReadonlyMap<string, { shape: readonly number[]; values: Float32Array }>;
}

/** Read a run's state off the device. */
export async function captureState(
  losses: readonly number[],
  parameters: readonly TrainableParameter[],
  optimizer: AdamW,
): Promise<HealState> {
  const { tensors: moments } = optimizer.state();
  const named = [
    ...parameters.map(({ name, variable }): [string, tf.Tensor] => [name, variable]),
    ...Object.entries(moments),
  ];
  const tensors = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  for (const [name, tensor] of named) {
    tensors.set(name, { shape: tensor.shape, values: (await tensor.data()) as Float32Array });
  }
  tf.dispose(moments);
  return { losses: [...losses], tensors };
}

/** Put parameters and moments back. @throws RangeError when a tensor is missing or of another shape. */
export function restoreState(
  { losses, tensors }: HealState,
  parameters: readonly TrainableParameter[],
  optimizer: AdamW,
): void {
  const find = (name: string, shape: number[]) => {
    const found = tensors.get(name);
    if (found && found.shape.join() === shape.join()) return tf.tensor(found.values, shape);
    throw new RangeError(
      `restoreState: ${name} must be [${shape}], got [${found?.shape ?? 'nothing'}]. Start the run anew.`,
    );
  };
  const steps = Object.fromEntries(parameters.map(({ name }) => [name, losses.length]));
  tf.tidy(() => {
    const moments: tf.NamedTensorMap = {};
    for (const { name, variable } of parameters) {
      variable.assign(find(name, variable.shape));
      for (const part of ['exp_avg', 'exp_avg_sq']) {
        moments[`${name}.${part}`] = find(`${name}.${part}`, variable.shape);
      }
    }
    if (losses.length > 0) optimizer.restore({ steps, tensors: moments });
  });
}

/** Write a state as safetensors; the losses stand in its metadata. */
export function writeState(sink: ByteSink, { losses, tensors }: HealState): Promise<void> {
  const entries = [...tensors].map(([name, { shape }]) => ({
    name,
    dtype: 'F32' as const,
    shape: [...shape],
  }));
  return writeSafetensors(sink, entries, async ({ name }) => tensors.get(name)!.values, {
    metadata: { losses: JSON.stringify(losses) },
  });
}

/** Read a state of our own. */
export async function readState(file: Checkpoint): Promise<HealState> {
  const losses = JSON.parse(file.metadata.get('losses') ?? 'null') as unknown;
  if (!Array.isArray(losses) || !losses.every((loss) => typeof loss === 'number')) {
    throw new RangeError(
      'readState: metadata.losses must be a list of numbers. Start the run anew.',
    );
  }
  const tensors = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  for (const { name, shape } of file.tensors.values()) {
    tensors.set(name, { shape, values: await file.readFloat32(name) });
  }
  return { losses, tensors };
}
