import { wsdSchedule } from '@mha2mla/peft';
import type { HealPlan } from './heal-options';

/** The learning rate of each update (0, 1, ...), above 0 from the first to the last. */
export function healSchedule({
  learningRate,
  steps,
  warmup,
  decay,
}: Pick<HealPlan, 'learningRate' | 'steps' | 'warmup' | 'decay'>): (step: number) => number {
  const warmupSteps = Math.floor(steps * warmup);
  const schedule = wsdSchedule({
    learningRate,
    totalSteps: steps + 1,
    warmupSteps,
    decaySteps: Math.min(Math.ceil(steps * decay), steps - warmupSteps),
  });
  // The schedule's first update has rate 0; healing is too short to give one away.
  return (step) => schedule(step + 1);
}
