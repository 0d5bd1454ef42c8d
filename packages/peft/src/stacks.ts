/**
 * Work on many small tensors as on few: those of one kind are stacked, since a call costs more than the
 * arithmetic of an adapter's matrix. Elementwise operations give the same bits in a stack as apart.
 */
import * as tf from '@tensorflow/tfjs-core';

/** Elements of a stack, 1 MB: beyond, its copy costs more than the calls that it saves. */
const MAX_STACK = 2 ** 18;

export interface Stack {
  names: string[];
  /** Their tensors as one, [names, ...shape]; a single one as it is. */
  join(tensorOf: (name: string) => tf.Tensor): tf.Tensor;
  /** The parts of such a tensor, in the order of the names. */
  part(joined: tf.Tensor): tf.Tensor[];
}

/**
 * Group tensors, given by name, that have one shape and one kind.
 * @param kindOf what else must agree in a stack.
 */
export function stacksOf(tensors: tf.NamedTensorMap, kindOf = (_name: string) => 0): Stack[] {
  const groups = new Map<string, string[]>();
  const full: string[][] = [];
  for (const [name, { shape, size }] of Object.entries(tensors)) {
    const key = `${kindOf(name)} of ${shape}`;
    const names = groups.get(key) ?? [];
    if (names.length > 0 && (names.length + 1) * size > MAX_STACK) {
      full.push(names);
      groups.set(key, [name]);
    } else groups.set(key, [...names, name]);
  }
  return [...full, ...groups.values()].map((names) => ({
    names,
    join(tensorOf) {
      const own = names.map(tensorOf);
      return own.length === 1 ? own[0]! : tf.stack(own);
    },
    part: (joined) => (names.length === 1 ? [joined] : tf.unstack(joined)),
  }));
}
