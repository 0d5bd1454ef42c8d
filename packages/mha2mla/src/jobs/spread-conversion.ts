/**
 * Convert a model by jobs that an engine does, wherever its workers are. The result is the same bytes
 * as that of `convertModel`, whoever does the jobs; a run that was stopped goes on where it was.
 */
import type { ModelInputs, VlmSource } from '@mha2mla/vlm-adapters';
import { allocateLatents, highestRank } from '../convert/allocate-latents';
import { assertRoom } from '../convert/assert-room';
import type { ConversionReport } from '../convert/conversion-report';
import { type LayerRecord, shardOf } from '../convert/convert-layer';
import { bytesLeft, finishConversion } from '../convert/convert-model';
import type { ConvertOptions } from '../convert/convert-options';
import type { MeasuredLayer } from '../convert/measure-layers';
import { sharesOut } from '../convert/plan-ranks';
import { prepareConversion } from '../convert/prepare-conversion';
import { widestRank } from '../convert/widest-rank';
import type { ResultOutput } from '../output/result-output';
import type { Job } from './job';
import type { JobStore } from './job-store';
import { keptContents } from './kept-contents';
import { type PlanSpec, planOf } from './plan-spec';
import {
  countJobs,
  type LayerGraph,
  type MadeLayer,
  type Shard,
  spreadLayers,
} from './spread-layers';
import { openRun, type SpreadRun, takeContent } from './spread-run';
import { putValue, readValue } from './stored-value';

export interface SpreadConvertOptions extends SpreadRun, ConvertOptions {
  calibration?: readonly ModelInputs[];
}

/**
 * @returns the report that is also written as `report.json`.
 * @throws RangeError as `convertModel`; JobError of the first job that failed; the signal's reason.
 */
export async function spreadConversion(
  original: VlmSource,
  output: ResultOutput,
  { calibration: given, ...spread }: SpreadConvertOptions,
): Promise<ConversionReport> {
  const { engine, store: shared, run, model, signal, onProgress, ...options } = spread;
  if (options.spend === 'auto') {
    throw new RangeError(
      'spreadConversion: bits must be known, got spend=auto. Search on one machine, and give what it finds.',
    );
  }
  const prepared = prepareConversion(original, { ...options, calibration: given });
  const { source, plan: first, calibration } = prepared;
  await assertRoom(output, (await bytesLeft(source, output, first))(0));
  const store = shared.ofRun(run);
  const config = source.config.decoder;
  const shards = await putShards(store, first.needsCalibration ? calibration : []);
  const work = openRun(spread);
  const kept = keptContents(store);

  /** The graph of a pass over the layers. */
  async function graphOf(spec: PlanSpec): Promise<LayerGraph> {
    const stored = await work.write(() => putValue(store, spec));
    const { plan } = planOf(original, spec);
    work.expect(countJobs({ config, plan, shards }));
    const runJob: LayerGraph['run'] = (own) => {
      const job = { ...own, run, model, plan: stored } as Job;
      return work.run(job, priorityOf(job));
    };
    return { config, shards, kept, plan, run: runJob };
  }

  /** Ranks by what each layer would lose. */
  async function shareOut(plan: typeof first & { rank: number; kvBudget: number }) {
    const highest = highestRank(plan.rank, widestRank(config, plan));
    const measured = await spreadLayers(
      await graphOf({ options, highest }),
      'measure',
      async ({ outputs }) => (await readValue(store, outputs.measured!)) as MeasuredLayer,
    );
    return allocateLatents(config, plan, measured);
  }

  async function takeLayer({ layer, outputs, specs }: MadeLayer): Promise<LayerRecord> {
    const record = (await readValue(store, outputs.record!)) as LayerRecord;
    const name = shardOf({ source, index: layer });
    await takeContent(work, store, outputs.shard!, { output, name });
    if (!specs) return record;
    return { ...record, latents: (await readValue(store, specs)) as LayerRecord['latents'] };
  }

  async function convertLayers() {
    const spec = sharesOut(first) ? { options, latentRanks: await shareOut(first) } : { options };
    const records = await spreadLayers(await graphOf(spec), 'factor', takeLayer);
    return { plan: planOf(original, spec).plan, records };
  }

  const { plan, records } = await work.until(convertLayers());
  const report = await finishConversion(source, output, plan, records, { scratch: [] });
  await shared.removeRun(run);
  return report;
}

/** Put batches of samples where jobs find them. */
async function putShards(store: JobStore, batches: readonly ModelInputs[]): Promise<Shard[]> {
  const shards: Shard[] = [];
  let before = 0;
  for (const inputs of batches) {
    shards.push({ samples: await putValue(store, inputs), before });
    before += inputs.batch;
  }
  return shards;
}

/** Lower layers first, and of a layer what others wait for. */
function priorityOf(job: Job): number {
  const layer = 'layer' in job ? job.layer : 0;
  return 1 + 2 * layer + (job.kind === 'calibrate' || job.kind === 'embed' ? 1 : 0);
}
