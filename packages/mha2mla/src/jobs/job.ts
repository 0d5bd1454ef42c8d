/**
 * The work of conversions, healings and evaluations as jobs: pure functions of a model and of contents of a store, each
 * named by what it computes, so that it can be done anywhere, and is done once.
 */
import type { ContentRef } from './job-store';

/** A model in a store, and what it was when the run began. */
export interface ModelRef {
  /** Path of its folder in the store. */
  folder: string;
  /** Of its config and headers. */
  digest: string;
  /** Of the sizes and times of its files. */
  version: string;
}

interface OfRun {
  /** Names the run, 64 hex digits; what its jobs leave is apart from that of other runs. */
  run: string;
  model: ModelRef;
  /** What decides how: a `PlanSpec`, of a healing its `HealPlan`, of an evaluation its `AskSpec`. */
  plan: ContentRef;
}

interface OfLayer extends OfRun {
  layer: number;
}

interface OfShard extends OfRun {
  /** The shard's samples, a batch of `ModelInputs`. */
  samples: ContentRef;
}

interface OnStates extends OfShard, OfLayer {
  /** The samples at the layer's input. */
  hidden: ContentRef;
}

/** Samples to the first layer's input. Gives `hidden`. */
export interface EmbedJob extends OfShard {
  kind: 'embed';
}

/**
 * What a layer does to a shard. Gives `seen`, and where the plan has the original's output passed
 * on, `hidden`.
 */
export interface CalibrateJob extends OnStates {
  kind: 'calibrate';
  /** Samples in the shards before this one. */
  before: number;
}

/** Statistics of all shards to a layer's factors. Gives `shard` and `record`. */
export interface FactorsJob extends OfLayer {
  kind: 'factor';
  seen: readonly ContentRef[];
}

/** The same to what each rank of a layer's latents would lose. Gives `measured`. */
export interface MeasureJob extends OfLayer {
  kind: 'measure';
  seen: readonly ContentRef[];
}

/** A shard through a converted layer. Gives `hidden`, and `latents` where scales are fitted. */
export interface AdvanceJob extends OnStates {
  kind: 'advance';
  shard: ContentRef;
  record: ContentRef;
  /** Of the run, which share what a fit looks at. */
  shards: number;
}

/** Latents of all shards to scales of the cache. Gives `specs`. */
export interface FitJob extends OfLayer {
  kind: 'fit';
  shard: ContentRef;
  record: ContentRef;
  latents: readonly ContentRef[];
}

/**
 * A batch to learn on through a layer, as the model has it or as it was healed. Gives `hidden`.
 */
export interface ForwardJob extends OfLayer {
  kind: 'forward';
  /** The batch's `ReferencePlaces`. */
  places: ContentRef;
  /** The batch at the layer's input. */
  hidden: ContentRef;
  /** What a heal job gave, if the layer was healed. */
  healed: readonly [] | readonly [ContentRef];
}

/** A layer of a converted model to what it learns from the original's. Gives `healed`. */
export interface HealJob extends OfLayer {
  kind: 'heal';
  /** The original. */
  teacher: ModelRef;
  /** Of each batch, as in `ForwardJob`. */
  places: readonly ContentRef[];
  /** What the model's layer is given, and the original's. */
  hidden: readonly ContentRef[];
  teacherHidden: readonly ContentRef[];
}

/** Questions to answers and their likelihood. Gives `result`. */
export interface EvaluateJob extends OfRun {
  kind: 'evaluate';
  /** `StoredQuestion`s, which run together. */
  questions: ContentRef;
}

/** A piece of work, by its kind. */
export type Job =
  | EmbedJob
  | CalibrateJob
  | FactorsJob
  | MeasureJob
  | AdvanceJob
  | FitJob
  | ForwardJob
  | HealJob
  | EvaluateJob;
/** Kinds of jobs. */
export type JobKind = Job['kind'];

/** What a job left, by name. */
export type JobOutputs = Readonly<Record<string, ContentRef>>;

/** What must be the same wherever a run's jobs are done, or its bytes would differ. */
export interface JobRuntime {
  /** Of this package and of TensorFlow.js. */
  version: string;
  backend: string;
}

/** A name of what a job computes: the same for the same job, and for no other. */
export async function jobKey(job: Job, runtime: JobRuntime): Promise<string> {
  const bytes = new TextEncoder().encode(canonical([runtime, job]));
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** JSON whose keys are in order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part) =>
    part && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
