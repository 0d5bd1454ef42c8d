/** Adapters by name on a model: added, switched, merged and taken off again while it runs. */
import { AdaptedProjection, type LoraOptions, type TrainableParameter } from '@mha2mla/peft';
import type { AdapterConfig } from './adapter-config';
import { type AdaptableModel, type LinearModule, linearModules } from './linear-modules';

/** What an adapter is, besides its weights. */
export interface ModelAdapter {
  readonly config: AdapterConfig;
  /** Modules that it adapts, by our names. */
  readonly modules: readonly string[];
  /** Which of the layouts of module names its file had: 0 the published one. */
  readonly layout: number;
}

/** Adapters on the linear maps of a model: added, switched, merged, taken off. */
export class ModelAdapters {
  /** All modules of the model by our names, with their frozen maps. */
  readonly modules: ReadonlyMap<string, LinearModule>;
  private readonly adapted = new Map<string, AdaptedProjection>();
  private readonly added = new Map<string, ModelAdapter>();
  private active: readonly string[] = [];

  /** @param model stays the caller's; dispose this first. */
  constructor(readonly model: AdaptableModel) {
    this.modules = linearModules(model);
  }

  /** By name, switched on or not. */
  get adapters(): ReadonlyMap<string, ModelAdapter> {
    return this.added;
  }

  /** Names of those that are switched on. */
  get activeAdapters(): readonly string[] {
    return this.active;
  }

  /**
   * Add an adapter, which does not act yet.
   * @param options of `lora`, by module.
   * @throws RangeError for a name that is taken, a module that is unknown, and as `lora` does;
   *   nothing is added then.
   */
  add(
    name: string,
    config: AdapterConfig,
    options: ReadonlyMap<string, LoraOptions>,
    layout = 0,
  ): void {
    if (this.added.has(name)) {
      throw new RangeError(`ModelAdapters: adapter names must differ, got ${name} twice.`);
    }
    const done: AdaptedProjection[] = [];
    try {
      for (const [module, own] of options) {
        const target = this.adaptedAt(module);
        target.addAdapter(name, { name: module, ...own });
        done.push(target);
      }
    } catch (error) {
      for (const target of done) target.deleteAdapter(name);
      throw error;
    }
    this.added.set(name, { config, modules: [...options.keys()], layout });
  }

  /** The adapter's weights, to be trained or saved. @throws RangeError for an unknown name. */
  parameters(name: string): TrainableParameter[] {
    return this.adapterOf(name).modules.flatMap((module) => [
      ...this.adapted.get(module)!.adapters.get(name)!.parameters,
    ]);
  }

  /**
   * Let these adapters act and no other; none, the model itself. What is merged is unmerged first.
   * @throws RangeError for an unknown name, or DoRA beside another on a module; nothing changes.
   */
  setAdapter(names: string | readonly string[] | undefined): void {
    const list = names === undefined ? [] : typeof names === 'string' ? [names] : [...names];
    for (const name of list) this.adapterOf(name);
    const chosen = [...this.adapted.values()].map(
      (target) => [target, list.filter((name) => target.adapters.has(name))] as const,
    );
    for (const [target, own] of chosen) target.assertCompatible(own);
    for (const [target, own] of chosen) target.setAdapter(own);
    this.active = list;
    this.model.decoder.refresh();
  }

  /** Take an adapter off and free it. @throws RangeError for an unknown name. */
  delete(name: string): void {
    for (const module of this.adapterOf(name).modules)
      this.adapted.get(module)!.deleteAdapter(name);
    this.added.delete(name);
    this.active = this.active.filter((other) => other !== name);
    this.model.decoder.refresh();
  }

  /** Switch dropout on, with what it draws for this step. */
  train(step: number): void {
    for (const target of this.adapted.values()) target.train(step);
  }

  /** Switch dropout off. */
  eval(): void {
    for (const target of this.adapted.values()) target.eval();
  }

  /** Run from f32 weights that hold the active adapters; `largestLogitChange` says what it costs. */
  merge(): void {
    for (const target of this.adapted.values()) target.merge();
    this.model.decoder.refresh();
  }

  /** Undo `merge`: every bit is what it was. */
  unmerge(): void {
    for (const target of this.adapted.values()) target.unmerge();
    this.model.decoder.refresh();
  }

  /** Put the frozen maps back and free all adapters. */
  dispose(): void {
    for (const [module, target] of this.adapted) {
      this.modules.get(module)!.replace(target.base);
      target.dispose();
    }
    this.adapted.clear();
    this.added.clear();
    this.active = [];
  }

  private adaptedAt(module: string): AdaptedProjection {
    const before = this.adapted.get(module);
    if (before) return before;
    const found = this.modules.get(module);
    if (!found) {
      throw new RangeError(
        `ModelAdapters: expected a module such as ${[...this.modules.keys()].slice(0, 3).join(', ')}, got ${module}.`,
      );
    }
    const target = new AdaptedProjection(found.projection);
    found.replace(target);
    this.adapted.set(module, target);
    return target;
  }

  private adapterOf(name: string): ModelAdapter {
    const adapter = this.added.get(name);
    if (adapter) return adapter;
    throw new RangeError(
      `ModelAdapters: expected one of the adapters ${[...this.added.keys()].join(', ') || '(none)'}, got ${name}.`,
    );
  }
}
