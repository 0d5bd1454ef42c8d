/** `heal --engine`: layers and batches as jobs, of threads or of workers on other machines. */
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { HealPlan } from '../../heal/heal-options';
import { spreadHealing } from '../../jobs/spread-healing';
import type { FolderOutput } from '../../node/folder-output';
import { useBackend } from '../../node/register-backends';
import { UsageError } from '../usage-error';
import { withSpread } from '../with-spread';
import type { HealFlags } from './heal-flags';
import type { HealedWeights, TrainOptions } from './heal-training';

export interface HealSpreadOptions extends TrainOptions {
  out: string;
  engine: string;
  /** What decides the result. */
  fingerprint: Record<string, unknown>;
}

/** @throws UsageError for a recipe whose layers are not apart. */
export function assertSpreads({ engine }: HealFlags, { recipe }: HealPlan): void {
  if (engine === undefined || recipe === 'layerwise') return;
  throw new UsageError(
    `heal: --engine goes with --recipe layerwise, got ${recipe}, which works on one machine. Leave it out.`,
  );
}

export async function healBySpread(
  source: VlmSource,
  original: VlmSource,
  output: FolderOutput,
  { questions, plan, flags, context, out, engine, fingerprint }: HealSpreadOptions,
): Promise<HealedWeights> {
  const backend = await useBackend(flags.backend);
  const processor = await source.family.loadProcessor(source.config, source.store);
  const teacher = { folder: original.store.name, source: original };
  const setting = {
    ...{ folder: source.store.name, teacher, beside: out },
    ...{ flags: { ...flags, engine }, backend, fingerprint },
  };
  return withSpread(source, setting, context, (spread) =>
    spreadHealing(
      { source, original, processor, questions, plan, output },
      { ...spread, teacher: spread.teacher! },
    ),
  );
}
