import type { PrefillStep } from '@mha2mla/mla-runtime';
import { PADDING, prefillStep, type TokenLayout } from '@mha2mla/mla-runtime';
import type { VlmConfig } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import type { EmbeddedReferences } from './embed-references';

/** Some columns of packed rows, left-padded, as a prompt of their own. */
export interface PackedColumns {
  /** [B, l, D]. */
  readonly inputsEmbeds: tf.Tensor3D;
  readonly step: PrefillStep;
  /** By position in [B * L] of the packed rows, the position in [B * l]. */
  readonly placeOf: ReadonlyMap<number, number>;
  dispose(): void;
}

/**
 * Take the trunk of each row (0), or one of its branches, out of packed rows.
 * @returns the columns; the caller disposes them.
 */
export function packedColumns(
  config: VlmConfig,
  { inputsEmbeds, step, branches }: EmbeddedReferences,
  branch: number,
): PackedColumns {
  const { batch, length, kinds } = step.layout;
  const rows = Array.from({ length: batch }, (_, row) =>
    Array.from({ length }, (_, t) => row * length + t).filter(
      (at) => kinds[at] !== PADDING && branches[at] === branch,
    ),
  );
  const longest = Math.max(...rows.map((row) => row.length));
  const empty = batch * length; // stands for padding
  const sources = rows.flatMap((row) => [...Array(longest - row.length).fill(empty), ...row]);
  const axes = step.positionIds.length / empty;
  const positionIds = Int32Array.from({ length: axes * sources.length }, (_, i) => {
    const source = sources[i % sources.length]!;
    const axis = Math.floor(i / sources.length);
    return source === empty ? 1 : step.positionIds[axis * empty + source]!;
  });
  const layout: TokenLayout = {
    ...{ batch, length: longest },
    kinds: Uint8Array.from(sources, (source) => kinds[source] ?? PADDING),
  };
  const own = prefillStep(layout, positionIds, config.decoder);
  const columns = tf.tidy(() => {
    const width = inputsEmbeds.shape[2];
    const flat = tf.concat([tf.reshape(inputsEmbeds, [-1, width]), tf.zeros([1, width])]);
    return tf.reshape(tf.gather(flat, tf.tensor1d(sources, 'int32')), [batch, longest, width]);
  }) as tf.Tensor3D;
  return {
    inputsEmbeds: columns,
    step: own,
    placeOf: new Map(sources.map((source, place) => [source, place])),
    dispose: () => {
      columns.dispose();
      own.dispose();
    },
  };
}
