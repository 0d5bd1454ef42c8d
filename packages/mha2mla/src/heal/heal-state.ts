/** What a stopped healing run needs to go on to the same weights: a safetensors file and its steps. */
import { type ByteSink, type Checkpoint, writeSafetensors } from '@mha2mla/checkpoint';
import type { AdamW, TrainableParameter } from '@mha2mla/peft';
import * as tf from '@tensorflow/tfjs-core';
import type { HeldOutState } from './held-out';

/** All that a stopped run needs to go on to the same bytes. */
export interface HealState {
  /** Of each update that was done. */
  losses: readonly number[];
  /** Updates of each parameter; those of a modality rest while no batch has a token of it. */
  steps: Readonly<Record<string, number>>;
  /**
   * Parameters by name, and the optimizer's moments `<name>.exp_avg`, `<name>.exp_avg_sq` of those
   * with updates.
   */
  tensors: ReadonlyMap<string, StateTensor>;
  /** Where pictures are held out. */
  heldOut?: HeldOutState;
}

interface StateTensor {
  shape: readonly number[];
  values: Float32Array;
}

/** Read a run's state off the device. */
export async function captureState(
  losses: readonly number[],
  parameters: readonly TrainableParameter[],
  optimizer: AdamW,
): Promise<HealState> {
  const { steps, tensors: moments } = optimizer.state();
  const named = [
    ...parameters.map(({ name, variable }): [string, tf.Tensor] => [name, variable]),
    ...Object.entries(moments),
  ];
  const tensors = new Map<string, StateTensor>();
  for (const [name, tensor] of named) {
    tensors.set(name, { shape: tensor.shape, values: (await tensor.data()) as Float32Array });
  }
  tf.dispose(moments);
  return { losses: [...losses], steps, tensors };
}

/**
 * Put parameters and moments back.
 * @throws RangeError when a tensor is missing or of another shape; nothing is changed then.
 */
export function restoreState(
  { steps, tensors }: HealState,
  parameters: readonly TrainableParameter[],
  optimizer: AdamW,
): void {
  const find = (name: string, shape: number[]) => {
    const found = tensors.get(name);
    if (found && found.shape.join() === shape.join()) return tf.tensor(found.values, shape);
    throw new RangeError(
      `restoreState: ${name} must be [${shape}], got ${found ? `[${found.shape}]` : 'nothing'}. Start the run anew.`,
    );
  };
  tf.tidy(() => {
    const values = parameters.map(({ name, variable }) => find(name, variable.shape));
    const moments: tf.NamedTensorMap = {};
    for (const { name, variable } of parameters) {
      if (steps[name] === undefined) continue;
      for (const part of [`${name}.exp_avg`, `${name}.exp_avg_sq`]) {
        moments[part] = find(part, variable.shape);
      }
    }
    optimizer.restore({ steps, tensors: moments });
    for (const [i, { variable }] of parameters.entries()) variable.assign(values[i]!);
  });
}

/** Before the names of the best weights in a file. */
const BEST = 'best.';

/** Write a state as safetensors; losses and steps stand in its metadata. */
export function writeState(
  sink: ByteSink,
  { losses, steps, tensors, heldOut }: HealState,
): Promise<void> {
  const all = new Map(tensors);
  for (const [name, values] of heldOut?.best ?? []) {
    all.set(`${BEST}${name}`, { shape: [values.length], values });
  }
  const entries = [...all].map(([name, { shape }]) => ({ name, dtype: 'F32' as const, shape }));
  return writeSafetensors(sink, entries, ({ name }) => all.get(name)!.values, {
    metadata: {
      losses: JSON.stringify(losses),
      steps: JSON.stringify(steps),
      ...(heldOut && { heldOut: JSON.stringify(heldOut.losses) }),
    },
  });
}

/** Read a state of our own. @throws RangeError when it is another file. */
export async function readState(file: Checkpoint): Promise<HealState> {
  const read = (key: string) => JSON.parse(file.metadata.get(key) ?? 'null') as unknown;
  const [losses, steps, heldOut] = ['losses', 'steps', 'heldOut'].map(read);
  if (!isNumbers(losses) || !isCounts(steps) || !(heldOut === null || isNumbers(heldOut))) {
    throw new RangeError(
      `readState: metadata must have losses, a list of numbers, and steps, counts by name, got ${[...file.metadata.keys()].join(', ') || 'none'}. Start the run anew.`,
    );
  }
  const tensors = new Map<string, StateTensor>();
  const best = new Map<string, Float32Array>();
  for (const { name, shape } of file.tensors.values()) {
    const values = await file.readFloat32(name);
    if (name.startsWith(BEST)) best.set(name.slice(BEST.length), values);
    else tensors.set(name, { shape, values });
  }
  return { losses, steps, tensors, ...(heldOut && { heldOut: { losses: heldOut, best } }) };
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'number');
}

function isCounts(value: unknown): value is Record<string, number> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((count) => Number.isSafeInteger(count) && count >= 1);
}
