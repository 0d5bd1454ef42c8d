import { ADAPTERS, type AdapterOptions } from './attach-adapters';

export const RECIPES = ['one-stage', 'layerwise', 'progressive'] as const;

export const LAYER_INPUTS = ['student', 'teacher'] as const;

/** How a converted model is healed, with the defaults that measured best. */
export interface HealOptions {
  /**
   * `one-stage`: all layers at once, from the answers back; `layerwise`: one layer after the other,
   * each by what it gives (`heal-layerwise.ts`); `progressive`: all layers, with latents that get
   * narrower from stage to stage (`heal-progressive.ts`). Default `one-stage`.
   */
  recipe?: (typeof RECIPES)[number];
  /** Latent dims a KV head that `progressive` ends with; no other recipe has it. */
  rank?: number;
  /**
   * What a layer learns on with `layerwise`, which alone has it: `student`, what the layers healed
   * before it give; `teacher`, the original's input of the layer, so that no layer waits for another,
   * and none makes up for what those before it lost. Default `student`.
   */
  layerInputs?: (typeof LAYER_INPUTS)[number];
  /** Updates in all (of all stages), or of each layer with `layerwise`. Default 250. */
  steps?: number;
  /** Pictures an update, each with the questions about it; a question without one counts as one. Default 8. */
  batchSize?: number;
  /** Between warmup and decay. Default 3e-3. */
  learningRate?: number;
  /** Width of the adapters. Default 16. */
  r?: number;
  /** Default `r`: a scale of 1. */
  loraAlpha?: number;
  /** Which linear maps are trained, and norms; see `AdapterOptions`. Default all of the attention. */
  targetModules?: AdapterOptions['targetModules'];
  /** What learns: an adapter, or with `none` the maps themselves. Default `lora`. */
  adapter?: NonNullable<AdapterOptions['adapter']>;
  /** Train the biases of these maps as well, such as those of centred latents. Default true. */
  biases?: boolean;
  /** Weight of the distillation from the original's logits. Default 1. */
  kd?: number;
  /** Weight of the relative distance of each layer's output to the original's. Default 16. */
  hidden?: number;
  /**
   * Share of an update's pictures that are made of halves of others, turned over. Questions about
   * them have no answer to learn; what the original makes of them is distilled. Default 0.5.
   */
  mix?: number;
  /** Share of the pictures that are not trained on but tell when to stop, below 1. Default 0. */
  holdOut?: number;
  /** Looks at them, every 25 updates, without a lower loss before the run stops. Default 4. */
  patience?: number;
  /**
   * Differentiate one layer at a time: less memory for a second forward pass, and the same bits
   * (`checkpointed-gradients.ts`). Default false.
   */
  checkpoint?: boolean;
  temperature?: number;
  weightDecay?: number;
  /** Share of the updates in which the rate rises, and falls. Default 0.1 and 0.6. */
  warmup?: number;
  decay?: number;
  seed?: number;
}

/** `HealOptions` with all defaults. */
export type HealPlan = Required<Omit<HealOptions, 'rank'>> & Pick<HealOptions, 'rank'>;

/** What `layerwise` has no use for: it knows no answers, and one layer at a time. */
const OF_ONE_STAGE = ['kd', 'hidden', 'temperature', 'holdOut', 'patience', 'checkpoint'] as const;

/** Fill in defaults. @throws RangeError for values out of range, and that a recipe has no use for. */
export function planHealing(options: HealOptions): HealPlan {
  const idle = OF_ONE_STAGE.filter((name) => options[name] !== undefined);
  if (options.recipe === 'layerwise' && idle.length > 0) {
    throw new RangeError(
      `planHealing: the recipe layerwise has no use for ${idle.join(', ')}, got ${idle.map((name) => options[name]).join(', ')}. Leave them out.`,
    );
  }
  if (options.layerInputs !== undefined && options.recipe !== 'layerwise') {
    throw new RangeError(
      `planHealing: layerInputs goes with the recipe layerwise alone, got recipe=${options.recipe ?? 'one-stage'}, layerInputs=${options.layerInputs}. Leave it out.`,
    );
  }
  if ((options.recipe === 'progressive') !== (options.rank !== undefined)) {
    throw new RangeError(
      `planHealing: rank must be given with the recipe progressive, and with no other, got recipe=${options.recipe ?? 'one-stage'}, rank=${options.rank ?? 'none'}.`,
    );
  }
  const r = options.r ?? 16;
  const plan: HealPlan = {
    recipe: 'one-stage',
    layerInputs: 'student',
    steps: 250,
    batchSize: 8,
    learningRate: 3e-3,
    loraAlpha: r,
    targetModules: '.*self_attn.*',
    adapter: 'lora',
    biases: true,
    kd: 1,
    hidden: 16,
    mix: 0.5,
    holdOut: 0,
    patience: 4,
    checkpoint: false,
    temperature: 1,
    weightDecay: 0.01,
    warmup: 0.1,
    decay: 0.6,
    seed: 0,
    ...withoutUndefined(options),
    r,
  };
  assertHealPlan(plan);
  return plan;
}

/** @throws RangeError for values out of range. */
export function assertHealPlan(plan: HealPlan): void {
  const { steps, batchSize, r, patience, rank = 1 } = plan;
  for (const [name, value] of Object.entries({ steps, batchSize, r, patience, rank })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new RangeError(`planHealing: ${name} must be a positive integer, got ${value}.`);
    }
  }
  if (!Number.isSafeInteger(plan.seed)) {
    throw new RangeError(`planHealing: seed must be an integer, got ${plan.seed}.`);
  }
  const choices = { recipe: RECIPES, layerInputs: LAYER_INPUTS, adapter: ADAPTERS };
  for (const [name, known] of Object.entries(choices)) {
    const value = plan[name as keyof typeof choices];
    if ((known as readonly string[]).includes(value)) continue;
    throw new RangeError(`planHealing: ${name} must be ${known.join(', ')}, got ${value}.`);
  }
  const { learningRate, loraAlpha, kd, hidden, temperature, weightDecay, warmup, decay } = plan;
  const positive = { learningRate, loraAlpha, temperature };
  for (const [name, value] of Object.entries(positive)) {
    if (!(value > 0 && value < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`planHealing: ${name} must be above 0, got ${value}.`);
    }
  }
  for (const [name, value] of Object.entries({ kd, hidden, weightDecay, warmup, decay })) {
    if (!(value >= 0 && value < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`planHealing: ${name} must be at least 0, got ${value}.`);
    }
  }
  // At 1 no answer would be left to learn.
  for (const [name, value] of Object.entries({ mix: plan.mix, holdOut: plan.holdOut })) {
    if (!(value >= 0 && value < 1)) {
      throw new RangeError(`planHealing: ${name} must lie in [0, 1), got ${value}.`);
    }
  }
  if (warmup + decay > 1) {
    throw new RangeError(
      `planHealing: warmup and decay must not exceed all updates, got ${warmup} and ${decay}.`,
    );
  }
}

function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as T;
}
