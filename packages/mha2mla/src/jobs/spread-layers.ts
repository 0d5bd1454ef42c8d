/**
 * The graph of a conversion's jobs. Shards of the samples go through a layer apart, then their
 * statistics to its factors; with `propagate: 'original'` no layer waits for another's factors, else
 * the samples wait for each layer's. What nobody needs any more is removed on the way.
 */
import { type DecoderConfig, fitsLatents } from '@mha2mla/mla-runtime';
import type { ConversionPlan } from '../convert/convert-options';
import type { Job, JobOutputs } from './job';
import type { ContentRef } from './job-store';
import type { KeptContents } from './kept-contents';
import { handled } from './spread-run';

/** A part of the samples. */
export interface Shard {
  samples: ContentRef;
  /** Samples in the shards before it. */
  before: number;
}

/** A job without what all jobs of a graph share. */
export type OwnJob<Kind = Job> = Kind extends Job ? Omit<Kind, 'run' | 'model' | 'plan'> : never;

export interface LayerGraph {
  config: Pick<DecoderConfig, 'numHiddenLayers'>;
  plan: Pick<ConversionPlan, 'propagate' | 'cache'>;
  shards: readonly Shard[];
  run: (job: OwnJob) => Promise<JobOutputs>;
  kept: KeptContents;
}

/** A layer that was made, by the contents that it came to. */
export interface MadeLayer {
  layer: number;
  outputs: JobOutputs;
  /** How its latents are cached, where that is fitted. */
  specs?: ContentRef;
}

type Hidden = Promise<ContentRef>;

/** How many jobs {@link spreadLayers} has. */
export function countJobs(graph: Pick<LayerGraph, 'config' | 'plan' | 'shards'>): number {
  const layers = Array.from({ length: graph.config.numHiddenLayers }, (_, layer) => layer);
  const { length } = graph.shards;
  return layers.reduce((sum, layer) => {
    const onwards = advances(graph, layer) ? length : 0;
    return sum + length + 1 + onwards + (fits(graph) ? 1 : 0);
  }, length);
}

/**
 * Make all layers.
 * @param kind of the job that makes a layer of what all shards showed of it.
 * @param take takes a layer when it is made; its shard is removed afterwards.
 */
export function spreadLayers<T>(
  graph: LayerGraph,
  kind: 'factor' | 'measure',
  take: (made: MadeLayer) => Promise<T>,
): Promise<T[]> {
  const taken: Promise<T>[] = [];
  let hidden = embedShards(graph);
  for (let layer = 0; layer < graph.config.numHiddenLayers; layer++) {
    const seen = calibrateShards(graph, hidden, layer);
    const made = makeLayer(graph, kind, seen, layer);
    const advanced = advances(graph, layer) ? advanceShards(graph, hidden, made, layer) : [];
    taken.push(handled(takeLayer(graph, { layer, made, advanced }, take)));
    const next = graph.plan.propagate === 'original' ? seen : advanced;
    hidden = next.map((outputs) => handled(outputs.then((own) => own.hidden!)));
  }
  return Promise.all(taken);
}

function fits({ plan, shards }: Pick<LayerGraph, 'plan' | 'shards'>): boolean {
  return shards.length > 0 && plan.propagate !== 'original' && fitsLatents(plan.cache);
}

/** Whether samples run through a layer once it is converted. */
function advances(graph: Pick<LayerGraph, 'config' | 'plan' | 'shards'>, layer: number): boolean {
  const last = layer + 1 === graph.config.numHiddenLayers;
  return graph.plan.propagate !== 'original' && (!last || fits(graph));
}

function embedShards({ shards, run, kept }: LayerGraph): Hidden[] {
  return shards.map(({ samples }) => {
    const embedded = run({ kind: 'embed', samples });
    return handled(
      embedded.then(({ hidden }) => {
        kept.keep(hidden!);
        return hidden!;
      }),
    );
  });
}

function calibrateShards(graph: LayerGraph, hidden: readonly Hidden[], layer: number) {
  const { shards, run, kept } = graph;
  const calibrate = async ({ samples, before }: Shard, index: number) => {
    const states = await hidden[index]!;
    const outputs = await run({ kind: 'calibrate', layer, samples, before, hidden: states });
    kept.keep(...Object.values(outputs));
    if (!advances(graph, layer)) await kept.drop(states);
    return outputs;
  };
  return shards.map((shard, index) => handled(calibrate(shard, index)));
}

function makeLayer(
  { run, kept }: LayerGraph,
  kind: 'factor' | 'measure',
  shards: readonly Promise<JobOutputs>[],
  layer: number,
): Promise<JobOutputs> {
  const make = async () => {
    const seen = (await Promise.all(shards)).map((outputs) => outputs.seen!);
    const outputs = await run({ kind, layer, seen });
    if (outputs.shard) kept.keep(outputs.shard);
    await kept.drop(...seen);
    return outputs;
  };
  return handled(make());
}

function advanceShards(
  { shards, run, kept }: LayerGraph,
  hidden: readonly Hidden[],
  made: Promise<JobOutputs>,
  layer: number,
): Promise<JobOutputs>[] {
  const advance = async ({ samples }: Shard, index: number) => {
    const states = await hidden[index]!;
    const { shard, record } = await made;
    const outputs = await run({
      ...{ kind: 'advance', layer, samples, shards: shards.length },
      ...{ hidden: states, shard: shard!, record: record! },
    });
    kept.keep(...Object.values(outputs));
    await kept.drop(states);
    return outputs;
  };
  return shards.map((shard, index) => handled(advance(shard, index)));
}

interface UntakenLayer {
  layer: number;
  made: Promise<JobOutputs>;
  advanced: readonly Promise<JobOutputs>[];
}

async function takeLayer<T>(
  graph: LayerGraph,
  { layer, made, advanced }: UntakenLayer,
  take: (made: MadeLayer) => Promise<T>,
): Promise<T> {
  const { run, kept } = graph;
  const outputs = await made;
  const latents = (await Promise.all(advanced)).flatMap((own) => own.latents ?? []);
  const { shard, record } = outputs;
  const fitted = fits(graph)
    ? await run({ kind: 'fit', layer, shard: shard!, record: record!, latents })
    : undefined;
  const result = await take({ layer, outputs, specs: fitted?.specs });
  // What else it came to is small, and is needed again where the run is stopped and goes on.
  await kept.drop(...latents, ...(outputs.shard ? [outputs.shard] : []));
  return result;
}
