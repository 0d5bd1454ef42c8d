/**
 * The graph of a layer-wise healing's jobs. Batches go through the teacher's layers apart. Where the
 * student's layers learn on the same inputs, none waits for another; else each waits for its batches
 * to come through the layer that was healed before it. States that nobody needs any more are removed
 * on the way.
 */
import type { HealPlan } from '../heal/heal-options';
import type { Job, JobOutputs, ModelRef } from './job';
import type { ContentRef } from './job-store';
import type { KeptContents } from './kept-contents';
import type { OwnJob } from './spread-layers';
import { handled } from './spread-run';

/** A batch to learn on. */
export interface HealBatch {
  /** `ModelInputs`, which are only needed to embed them. */
  samples: ContentRef;
  /** `ReferencePlaces`. */
  places: ContentRef;
}

export interface HealGraph {
  layers: number;
  plan: Pick<HealPlan, 'layerInputs'>;
  batches: readonly HealBatch[];
  teacher: ModelRef;
  run: (job: OwnJob, of: 'student' | 'teacher') => Promise<JobOutputs>;
  kept: KeptContents;
}

/** Of each batch, where it has come to. */
type Hidden = readonly Promise<ContentRef>[];

/** How many jobs {@link spreadHealLayers} has. */
export function countHealJobs({
  layers,
  plan,
  batches,
}: Pick<HealGraph, 'layers' | 'plan' | 'batches'>): number {
  const sides = isApart(plan) ? 1 : 2;
  return batches.length * (1 + sides * (layers - 1)) + layers;
}

/**
 * Heal all layers.
 * @param take takes what a layer was healed to.
 */
export async function spreadHealLayers(
  graph: HealGraph,
  take: (layer: number, healed: ContentRef) => Promise<void>,
): Promise<void> {
  const work: Promise<unknown>[] = [];
  let teacher = embedBatches(graph);
  let student = teacher;
  for (let layer = 0; layer < graph.layers; layer++) {
    const healed = handled(healLayer(graph, layer, student, teacher));
    work.push(handled(healed.then((ref) => take(layer, ref))));
    const last = layer + 1 === graph.layers;
    const next = last ? [] : forwardBatches(graph, layer, teacher);
    work.push(handled(dropAfter(graph, teacher, [healed, ...next])));
    if (isApart(graph.plan)) student = next;
    else {
      const own = last ? [] : forwardBatches(graph, layer, student, healed);
      work.push(handled(dropAfter(graph, student, [healed, ...own])));
      student = own;
    }
    teacher = next;
  }
  await Promise.all(work);
}

function isApart({ layerInputs }: HealGraph['plan']): boolean {
  return layerInputs === 'teacher';
}

function embedBatches({ batches, plan, run, kept }: HealGraph): Hidden {
  const embed = async ({ samples }: HealBatch) => {
    const { hidden } = await run({ kind: 'embed', samples }, 'student');
    // Both sides begin with it.
    kept.keep(hidden!, ...(isApart(plan) ? [] : [hidden!]));
    await kept.drop(samples);
    return hidden!;
  };
  return batches.map((batch) => handled(embed(batch)));
}

async function healLayer(
  { batches, teacher: original, run }: HealGraph,
  layer: number,
  student: Hidden,
  teacher: Hidden,
): Promise<ContentRef> {
  const [hidden, teacherHidden] = [await Promise.all(student), await Promise.all(teacher)];
  const places = batches.map((batch) => batch.places);
  const job = { kind: 'heal', layer, teacher: original, places, hidden, teacherHidden } as const;
  return (await run(job, 'student')).healed!;
}

/** @param healed of the student's layer; the teacher's is as it is stored. */
function forwardBatches(
  { batches, run, kept }: HealGraph,
  layer: number,
  before: Hidden,
  healed?: Promise<ContentRef>,
): Hidden {
  const forward = async ({ places }: HealBatch, index: number) => {
    const own = healed ? ([await healed] as const) : ([] as const);
    const at = await before[index]!;
    const job = { kind: 'forward', layer, places, hidden: at, healed: own } as const;
    const { hidden } = await run(job, healed ? 'student' : 'teacher');
    kept.keep(hidden!);
    return hidden!;
  };
  return batches.map((batch, index) => handled(forward(batch, index)));
}

async function dropAfter(
  { kept }: HealGraph,
  hidden: Hidden,
  users: readonly Promise<unknown>[],
): Promise<void> {
  await Promise.all(users);
  await kept.drop(...(await Promise.all(hidden)));
}

/** Lower layers first, and of a layer what others wait for. */
export function healPriority(job: Job): number {
  return 'layer' in job ? 1 + 2 * job.layer + (job.kind === 'heal' ? 1 : 0) : 1;
}
