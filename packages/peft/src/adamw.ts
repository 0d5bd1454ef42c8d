/**
 * AdamW (Loshchilov and Hutter, arXiv 1711.05101), decay decoupled, in the order of torch:
 *   p *= 1 - lr wd;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *   p -= lr (m / (1 - b1^k)) / (sqrt(v / (1 - b2^k)) + eps),  k = 1, 2, ... counted per parameter
 * All of it is composed of tfjs ops: on wasm that is as fast as a loop over typed arrays, and
 * nothing is read back from a GPU.
 */
import * as tf from '@tensorflow/tfjs-core';
import { type Stack, stacksOf } from './stacks';
import type { TrainableParameter } from './trainable-parameter';

/** Options of `AdamW`. */
export interface AdamWOptions {
  beta1?: number;
  beta2?: number;
  /** Added to the root of the second moment. */
  epsilon?: number;
  weightDecay?: number;
}

/** What a stopped run needs to go on: plain numbers and tensors that a checkpoint can hold. */
export interface AdamWState {
  /** Updates so far, a parameter. */
  steps: Record<string, number>;
  /** `<name>.exp_avg` and `<name>.exp_avg_sq`, of the parameter's shape. */
  tensors: tf.NamedTensorMap;
}

interface Moments {
  step: number;
  m: tf.Tensor;
  v: tf.Tensor;
}

/** AdamW with decoupled weight decay; its moments live until `dispose`. */
export class AdamW {
  private readonly beta1: number;
  private readonly beta2: number;
  private readonly epsilon: number;
  private readonly weightDecay: number;
  private readonly variables: Map<string, tf.Variable>;
  private readonly moments = new Map<string, Moments>();

  /** @throws RangeError if two parameters have one name, or a rate is out of its range. */
  constructor(parameters: readonly TrainableParameter[], options: AdamWOptions = {}) {
    const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01 } = options;
    for (const [key, value] of Object.entries({ beta1, beta2 })) {
      if (!(value >= 0 && value < 1)) {
        throw new RangeError(`AdamW: ${key} must be in [0, 1), got ${key}=${value}.`);
      }
    }
    for (const [key, value] of Object.entries({ epsilon, weightDecay })) {
      if (!(value >= 0)) throw new RangeError(`AdamW: ${key} must be >= 0, got ${key}=${value}.`);
    }
    this.beta1 = beta1;
    this.beta2 = beta2;
    this.epsilon = epsilon;
    this.weightDecay = weightDecay;
    this.variables = new Map(parameters.map(({ name, variable }) => [name, variable]));
    if (this.variables.size !== parameters.length) {
      throw new RangeError('AdamW: parameter names must differ. Name each after its module.');
    }
  }

  /**
   * Update each parameter that has a gradient, in place; one without keeps its value and state.
   * @param grads by parameter name; not disposed.
   * @param lr the learning rate of this update.
   * @throws RangeError if a gradient belongs to no parameter or differs from it in shape, or lr < 0.
   */
  step(grads: tf.NamedTensorMap, lr: number): void {
    if (!(lr >= 0)) throw new RangeError(`AdamW.step: lr must be >= 0, got lr=${lr}.`);
    for (const [name, grad] of Object.entries(grads)) this.check('step', name, grad);
    const stepOf = (name: string) => this.moments.get(name)?.step ?? 0;
    for (const stack of stacksOf(grads, stepOf)) this.update(stack, grads, lr);
  }

  /** Copies of the moments and the counts; the caller disposes the tensors. */
  state(): AdamWState {
    const state: AdamWState = { steps: {}, tensors: {} };
    for (const [name, { step, m, v }] of this.moments) {
      state.steps[name] = step;
      state.tensors[`${name}.exp_avg`] = tf.clone(m);
      state.tensors[`${name}.exp_avg_sq`] = tf.clone(v);
    }
    return state;
  }

  /**
   * Go on from a state, replacing the present one; the tensors stay the caller's.
   * @throws RangeError if the state names a parameter that is not ours, or a moment is missing or
   *   of another shape; nothing is changed then.
   */
  restore({ steps, tensors }: AdamWState): void {
    for (const name of Object.keys(steps)) {
      this.check('restore', name, tensors[`${name}.exp_avg`]);
      this.check('restore', name, tensors[`${name}.exp_avg_sq`]);
    }
    this.dispose();
    for (const [name, step] of Object.entries(steps)) {
      const m = tf.keep(tf.clone(tensors[`${name}.exp_avg`]!));
      const v = tf.keep(tf.clone(tensors[`${name}.exp_avg_sq`]!));
      this.moments.set(name, { step, m, v });
    }
  }

  /** Dispose the moments. The parameters stay the caller's. */
  dispose(): void {
    for (const { m, v } of this.moments.values()) tf.dispose([m, v]);
    this.moments.clear();
  }

  private check(where: string, name: string, tensor: tf.Tensor | undefined): void {
    const variable = this.variables.get(name);
    if (!variable) {
      throw new RangeError(`AdamW.${where}: names must be those of the parameters, got ${name}.`);
    }
    if (!tensor || !tf.util.arraysEqual(tensor.shape, variable.shape)) {
      throw new RangeError(
        `AdamW.${where}: ${name} must have shape [${variable.shape}], got ${tensor ? `[${tensor.shape}]` : 'nothing'}.`,
      );
    }
  }

  /** Update parameters of one shape that have had as many updates. */
  private update({ names, join, part }: Stack, grads: tf.NamedTensorMap, lr: number): void {
    const { beta1, beta2, epsilon, weightDecay } = this;
    const before = names.flatMap((name) => this.moments.get(name) ?? []);
    const step = (before[0]?.step ?? 0) + 1;
    tf.tidy(() => {
      const grad = join((name) => grads[name]!);
      const joined = (moment: 'm' | 'v') => join((name) => this.moments.get(name)![moment]);
      const g1 = tf.mul(grad, 1 - beta1);
      const g2 = tf.mul(tf.square(grad), 1 - beta2);
      const m = step > 1 ? tf.add(tf.mul(joined('m'), beta1), g1) : g1;
      const v = step > 1 ? tf.add(tf.mul(joined('v'), beta2), g2) : g2;
      const root = tf.mul(tf.sqrt(v), 1 / Math.sqrt(1 - beta2 ** step));
      const move = tf.div(tf.mul(m, lr / (1 - beta1 ** step)), tf.add(root, epsilon));
      const values = join((name) => this.variables.get(name)!);
      const next = part(tf.sub(tf.mul(values, 1 - lr * weightDecay), move));
      const [ms, vs] = [part(m), part(v)];
      for (const [i, name] of names.entries()) {
        this.variables.get(name)!.assign(next[i]!);
        this.moments.set(name, { step, m: tf.keep(ms[i]!), v: tf.keep(vs[i]!) });
      }
    });
    for (const { m, v } of before) tf.dispose([m, v]);
  }
}
