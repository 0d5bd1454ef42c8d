import * as tf from '@tensorflow/tfjs-core';

/** Hidden states of one batch between two layers, wherever they are kept. */
export interface HiddenStates {
  /** @returns [B, L, D], the caller's. */
  read(): Promise<tf.Tensor3D>;
  /** Replace them by the next layer's input, of the same shape, which is disposed. */
  write(next: tf.Tensor3D): Promise<void>;
  dispose(): void;
}

/** Keeps a batch's first hidden states, which are disposed with what it returns, or at once. */
export type KeepHidden = (first: tf.Tensor3D) => Promise<HiddenStates>;

/** Keep hidden states where tensors are. */
export const keepInMemory: KeepHidden = async (first) => {
  let hidden = first;
  return {
    read: async () => tf.clone(hidden),
    async write(next) {
      hidden.dispose();
      hidden = next;
    },
    dispose: () => hidden.dispose(),
  };
};

/** Read hidden states for as long as `use` takes. */
export async function withHidden<T>(
  hidden: Pick<HiddenStates, 'read'>,
  use: (states: tf.Tensor3D) => T | Promise<T>,
): Promise<T> {
  const states = await hidden.read();
  try {
    return await use(states);
  } finally {
    states.dispose();
  }
}
