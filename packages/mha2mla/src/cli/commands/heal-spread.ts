/** `heal --engine`: layers and batches as jobs, of threads or of workers on other machines. */
import type { VlmSource } from '@mha2mla/vlm-adapters';
import { spreadHealing } from '../../jobs/spread-healing';
import type { FolderOutput } from '../../node/folder-output';
import { useBackend } from '../../node/register-backends';
import { withSpread } from '../with-spread';
import type { HealedWeights, TrainOptions } from './heal-training';

export interface HealSpreadOptions extends TrainOptions {
  out: string;
  engine: string;
  /** What decides the result. */
  fingerprint: Record<string, unknown>;
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
