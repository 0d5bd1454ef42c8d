/** `heal --dry-run`: what healing takes, from two updates; nothing is written. */
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { Healed, HealRun } from '../../heal/heal-model';
import type { HealPlan } from '../../heal/heal-options';
import { tensorBytes } from '../../output/tensor-sizes';
import { duration, sizeText } from '../quantities';
import { UsageError } from '../usage-error';

/** The document of `--json`. */
export interface HealDryRunDocument {
  dryRun: true;
  steps: number;
  trainableShare: number;
  seconds: { total: number; update: number };
  peakMemoryBytes: number;
  diskBytes: { output: number };
}

/** Of the first, kernels and pictures are made ready; the second is like all others. */
const UPDATES = 2;

/** @param train runs a short plan. @throws UsageError for a recipe of which two updates say little. */
export async function healDryRun(
  { checkpoint }: VlmSource,
  plan: HealPlan,
  train: (run: Pick<HealRun, 'plan' | 'onProgress'>) => Promise<Pick<Healed, 'report' | 'adapter'>>,
): Promise<HealDryRunDocument> {
  if (plan.recipe !== 'one-stage') {
    throw new UsageError(`heal: --dry-run goes with --recipe one-stage, got ${plan.recipe}.`);
  }
  const began = performance.now();
  const times: number[] = [];
  const { report, adapter } = await train({
    plan: { ...plan, steps: UPDATES, warmup: 0, decay: 0, holdOut: 0 },
    onProgress: () => times.push(performance.now()),
  });
  const update = (times[1]! - times[0]!) / 1000;
  const output = adapter
    ? [...adapter.values()].reduce((sum, { values }) => sum + values.byteLength, 0)
    : tensorBytes(
        [...checkpoint.tensors.values()].flatMap(
          (tensor) => checkpoint.packed?.parts(tensor.name) ?? [tensor],
        ),
      );
  return {
    dryRun: true,
    steps: plan.steps,
    trainableShare: report.trainableShare,
    seconds: { update, total: (times[0]! - began) / 1000 + update * (plan.steps - 1) },
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    diskBytes: { output },
  };
}

export function describeHealDryRun(found: HealDryRunDocument): string {
  const { steps, trainableShare, seconds, peakMemoryBytes, diskBytes } = found;
  return [
    `trained ${(100 * trainableShare).toFixed(1)} % of the weights`,
    `time    ${duration(seconds.total)}, ${steps} updates of ${duration(seconds.update)}`,
    `memory  ${sizeText(peakMemoryBytes)}`,
    `disk    ${sizeText(diskBytes.output)} for the result`,
  ].join('\n');
}
