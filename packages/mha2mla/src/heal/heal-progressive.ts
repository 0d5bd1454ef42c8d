/**
 * Heal to latents narrower than the converted model's, in stages: each stage cuts them to their
 * first dims and heals what that lost, so that no cut loses as much as one to the last width would
 * (the schedule of MHA2MLA-Progressive). A stopped run goes on behind the stages that it had
 * finished, and within one from its state.
 */
import { readText } from '@mha2mla/checkpoint';
import type { ResultOutput } from '../output/result-output';
import { type HealReport, type HealRun, healModel } from './heal-model';
import type { HealPlan } from './heal-options';
import type { HealState } from './heal-state';
import { openHealedLayer, writeHealedLayer } from './healed-layer';
import { type MergedWeight, type MergedWeights, readChanged } from './merge-adapters';
import { latentRanksOf, latentWeights, narrowLatents } from './narrow-latents';
import { putWeights } from './put-weights';
import type { NarrowedLatents } from './write-healed';

/** The student is changed: it ends as the healed model. */
export interface ProgressiveRun
  extends Omit<HealRun, 'source' | 'from' | 'save' | 'merge' | 'runShard'> {
  source: NonNullable<HealRun['source']>;
  /** Keeps each finished stage. */
  output: ResultOutput;
  /** Where a stopped run had come to in a stage, by the stage's number, and where it keeps that. */
  from?: (stage: number) => Promise<HealState | undefined>;
  /** Called with the state of a stage, as `HealRun.save` is. */
  save?: (stage: number, state: HealState) => Promise<void>;
}

/** Losses of all stages in a row. */
export interface ProgressiveReport extends HealReport {
  stages: { rank: number; steps: number; first: number; last: number }[];
}

/** What `healProgressive` gives: a report, and a model of narrower latents. */
export interface HealedProgressively {
  report: ProgressiveReport;
  /** The healed weights and all maps of latents, by the decoder's names. */
  merged: MergedWeights;
  narrowed: NarrowedLatents;
}

/** Stages a run has at most: at the model's rank, halfway, and at the last. */
const STAGES = 3;

/**
 * @throws RangeError for models or a rank that do not fit; what `healModel` throws.
 */
export async function healProgressive(run: ProgressiveRun): Promise<HealedProgressively> {
  const { output } = run;
  const { decoder } = run.student;
  const ranks = checkedRanks(run);
  await assertPrefixes(run.source);
  const reports: HealReport[] = [];
  const merged = new Map<string, () => Promise<Float32Array>>();
  for (const [stage, rank] of ranks.entries()) {
    narrowLatents(decoder, rank);
    const name = stageName(stage);
    if (!(await output.has(name))) await healStage(run, stage, ranks.length);
    const healed = await openHealedLayer<HealReport>(output, name);
    await putWeights(decoder, healed.names, healed.readWeight);
    for (const weight of healed.names) merged.set(weight, () => healed.readWeight(weight));
    const { names: _, readWeight: _1, read: _2, ...report } = healed;
    reports.push(report);
  }
  // Those that were not trained are narrower, too.
  const isStored = ([name]: readonly [string, unknown]) =>
    run.source.weights.storedName(name) !== undefined;
  const changed = new Map([...latentWeights(decoder)].filter(isStored));
  const latents = [...(await readChanged({ changed }))];
  const shapes = new Map(latents.map(([name, { shape }]) => [name, shape]));
  const values = latents.map(([name, latent]) => [name, latent.values] as const);
  return {
    report: reportOf(ranks, reports),
    merged: new Map<string, MergedWeight>([...values, ...merged]),
    narrowed: { ranks: latentRanksOf(decoder), shapes },
  };
}

/** Heal the student as it is, and keep what that comes to. */
async function healStage(run: ProgressiveRun, stage: number, stages: number): Promise<void> {
  const { plan, output, onProgress } = run;
  const before = stepsBefore(plan, stage, stages);
  const { report, merged } = await healModel({
    ...run,
    plan: planOf(plan, stage, stages),
    merge: true,
    from: await run.from?.(stage),
    save: async (state) => run.save?.(stage, state),
    onProgress: ({ loaded }) =>
      onProgress?.({ phase: 'heal', loaded: before + loaded, total: plan.steps }),
  });
  const weights = [...merged].map(
    ([name, values]) => [name, { shape: [values.length], values }] as const,
  );
  await writeHealedLayer(output, stageName(stage), { ...report, weights: new Map(weights) });
}

/** Pieces of the output that only a stopped run needs. */
export const stageNames = (): string[] => Array.from({ length: STAGES }, (_, i) => stageName(i));

const stageName = (stage: number) => `healed-stage-${stage}.safetensors`;

/** Latent dims a KV head of each stage. @throws RangeError */
function checkedRanks({ student, source, plan }: ProgressiveRun): number[] {
  const { vision, text } = latentRanksOf(student.decoder);
  const [own, last] = [Math.max(...vision, ...text), plan.rank ?? 0];
  const apart = [...latentWeights(student.decoder).keys()].find(
    (name) => name.endsWith('.down_kv.weight') && source.weights.storedName(name) === undefined,
  );
  if (own === 0 || apart) {
    throw new RangeError(
      `healProgressive: the model must have latents of keys and values together (factor joint), got ${apart ? `none stored as ${apart}` : 'none'}. Convert it so.`,
    );
  }
  if (last < 1 || last > own) {
    throw new RangeError(
      `healProgressive: rank must be from 1 to the model's latent dims a KV head, ${own}, got ${last}. Convert with a higher rank.`,
    );
  }
  const ranks = [...new Set([own, Math.ceil((own + last) / 2), last])];
  if (plan.steps < ranks.length) {
    throw new RangeError(
      `healProgressive: steps must be at least one a stage, ${ranks.length}, got ${plan.steps}.`,
    );
  }
  return ranks;
}

/**
 * Refuse latents whose first dims are no smaller model: turned ones, which no longer lie by energy,
 * and centred ones, as the mean that centring moved to the biases is that of the kept dims, and of
 * dropped ones none is stored.
 */
async function assertPrefixes({ cache, store }: ProgressiveRun['source']): Promise<void> {
  if (cache.latentsTurned) {
    throw new RangeError(
      'healProgressive: latents must lie by energy, got a model converted with hadamard. Convert without it.',
    );
  }
  if (cache.latentSpecs) {
    throw new RangeError(
      `healProgressive: latents that become narrower must not have scales of their own, got a model converted with kvMethod=${cache.kvMethod}.`,
    );
  }
  if (!(await store.open('report.json'))) return;
  const report = JSON.parse(await readText(store, 'report.json'));
  if (report?.options?.center !== true) return;
  throw new RangeError(
    'healProgressive: latents must not be centred, got a model converted with center. Convert without it.',
  );
}

/** Updates of all stages before one. */
function stepsBefore({ steps }: HealPlan, stage: number, stages: number): number {
  return Math.floor((stage * steps) / stages);
}

/** A stage has its share of the updates, a schedule of its own, and other pictures first. */
function planOf(plan: HealPlan, stage: number, stages: number): HealPlan {
  const steps = stepsBefore(plan, stage + 1, stages) - stepsBefore(plan, stage, stages);
  return { ...plan, steps, seed: plan.seed + stage };
}

function reportOf(ranks: readonly number[], reports: readonly HealReport[]): ProgressiveReport {
  const last = reports.at(-1)!;
  const losses = reports.flatMap((report) => report.losses);
  return {
    ...last,
    steps: losses.length,
    loss: { first: losses[0]!, last: losses.at(-1)! },
    losses,
    stages: reports.map(({ steps, loss }, stage) => ({ rank: ranks[stage]!, steps, ...loss })),
  };
}
