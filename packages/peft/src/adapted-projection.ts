/**
 * A projection with several adapters by name, of which those that are active act, as in Hugging
 * Face PEFT. Each LoRA adds its own change; DoRA scales all of a map, so it acts alone. The base is
 * never written: what is merged is kept beside it, and unmerging gives the base back to the bit.
 */
import * as tf from '@tensorflow/tfjs-core';
import { denseApply } from './dense-apply';
import { type LoraOptions, type LoraProjection, lora } from './lora';
import type { Projection } from './projection';
import type { TrainableParameter } from './trainable-parameter';

interface Entry {
  adapter: LoraProjection;
  /** Let the adapter act on this map. */
  standOn(below: Projection): void;
}

export class AdaptedProjection implements Projection {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly bias?: tf.Tensor1D;
  private readonly entries = new Map<string, Entry>();
  private active: readonly string[] = [];
  private mergedWeight: tf.Tensor2D | undefined;

  /** @param base frozen; stays the caller's. */
  constructor(readonly base: Projection) {
    this.inFeatures = base.inFeatures;
    this.outFeatures = base.outFeatures;
    if (base.bias) this.bias = base.bias;
  }

  get adapters(): ReadonlyMap<string, LoraProjection> {
    return new Map([...this.entries].map(([name, { adapter }]) => [name, adapter]));
  }

  get activeAdapters(): readonly string[] {
    return this.active;
  }

  get parameters(): readonly TrainableParameter[] | undefined {
    return this.merged ? undefined : this.top().parameters;
  }

  get merged(): boolean {
    return this.mergedWeight !== undefined;
  }

  /**
   * Add an adapter, which does not act yet.
   * @throws RangeError for a name that is taken, and as `lora` does.
   */
  addAdapter(name: string, options: LoraOptions): LoraProjection {
    if (this.entries.has(name)) {
      throw new RangeError(`AdaptedProjection: adapter names must differ, got ${name} twice.`);
    }
    let below = this.base;
    const { inFeatures, outFeatures, bias } = this.base;
    const adapter = lora(
      {
        inFeatures,
        outFeatures,
        ...(bias && { bias }),
        apply: (x) => below.apply(x),
        weight: () => below.weight(),
        get parameters() {
          return below.parameters;
        },
        dispose: () => {},
      },
      options,
    );
    const standOn = (next: Projection) => {
      below = next;
    };
    this.entries.set(name, { adapter, standOn });
    return adapter;
  }

  /**
   * Throw unless these adapters can act together.
   * @throws RangeError for a name that is not there or comes twice, or for DoRA beside another.
   */
  assertCompatible(names: readonly string[]): void {
    const chosen = names.map((name) => this.entryOf(name));
    if (new Set(names).size !== names.length) {
      throw new RangeError(`setAdapter: adapter names must differ, got ${names.join(', ')}.`);
    }
    if (names.length > 1 && chosen.some(({ adapter }) => adapter.useDora)) {
      throw new RangeError(`setAdapter: DoRA must act alone, got ${names.join(', ')}.`);
    }
  }

  /**
   * Let these adapters act and no other; none, the base. What is merged is unmerged first.
   * @throws RangeError as `assertCompatible` does; nothing is changed then.
   */
  setAdapter(names: string | readonly string[] | undefined): void {
    const list = names === undefined ? [] : typeof names === 'string' ? [names] : [...names];
    this.assertCompatible(list);
    this.unmerge();
    for (const { standOn } of this.entries.values()) standOn(this.base);
    let below = this.base;
    for (const name of list) {
      const { adapter, standOn } = this.entryOf(name);
      standOn(below);
      below = adapter;
    }
    this.active = list;
  }

  /** Free an adapter. @throws RangeError for a name that is not there. */
  deleteAdapter(name: string): void {
    const { adapter } = this.entryOf(name);
    if (this.active.includes(name)) this.setAdapter(this.active.filter((other) => other !== name));
    this.entries.delete(name);
    adapter.dispose();
  }

  /** Switch the dropout of all adapters on, see `LoraProjection.train`. */
  train(step: number): void {
    for (const { adapter } of this.entries.values()) adapter.train(step);
  }

  /** Stop dropping inputs; the opposite of `train`. */
  eval(): void {
    for (const { adapter } of this.entries.values()) adapter.eval();
  }

  /** Run from one f32 weight that holds the active adapters, until `unmerge` or `setAdapter`. */
  merge(): void {
    if (this.active.length > 0) this.mergedWeight ??= tf.keep(this.top().weight());
  }

  /** Let base and adapters act apart again: the base is what it was, to the bit. */
  unmerge(): void {
    this.mergedWeight?.dispose();
    this.mergedWeight = undefined;
  }

  apply(x: tf.Tensor): tf.Tensor {
    if (!this.mergedWeight) return this.top().apply(x);
    if (x.rank === 0 || x.shape.at(-1) !== this.inFeatures) {
      throw new RangeError(
        `AdaptedProjection: x must be [..., ${this.inFeatures}], got [${x.shape}].`,
      );
    }
    return denseApply(x, this.mergedWeight, this.bias);
  }

  weight(): tf.Tensor2D {
    return this.mergedWeight ? tf.clone(this.mergedWeight) : this.top().weight();
  }

  /** Dispose all adapters. The base stays the caller's. */
  dispose(): void {
    this.unmerge();
    for (const { adapter } of this.entries.values()) adapter.dispose();
    this.entries.clear();
    this.active = [];
  }

  /** The outermost active adapter, or the base. */
  private top(): Projection {
    const last = this.active.at(-1);
    return last === undefined ? this.base : this.entryOf(last).adapter;
  }

  private entryOf(name: string): Entry {
    const entry = this.entries.get(name);
    if (entry) return entry;
    throw new RangeError(
      `AdaptedProjection: expected one of the adapters ${[...this.entries.keys()].join(', ') || '(none)'}, got ${name}.`,
    );
  }
}
