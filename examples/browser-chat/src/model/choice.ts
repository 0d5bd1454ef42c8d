/** Which models shall be loaded, and what their headers say of them. */
import type { BackendName, WeightFormat } from '@mha2mla/mla-runtime';
import { describeInWorker, type ModelDescription, type ModelSource } from '@mha2mla/vlm-adapters';
import { computed, type Signal, signal } from '@preact/signals';
import { type Explained, explainError } from '../words/explain-error';
import { SHIPPED, shippedAddress } from './catalog';
import { endWorker, pageWorker } from './page-worker';

/** `undefined` while headers are read. */
export type Facts = { description: ModelDescription } | { problem: Explained } | undefined;

export interface Candidate {
  label: string;
  /** Where it is from, in words. */
  place: string;
  source: ModelSource;
  facts: Signal<Facts>;
}

export type Sides = 'both' | 'converted' | 'original';
/** Two answers stand side by side. */
export const MOST_CANDIDATES = 2;

export const tab = signal<'shipped' | 'own'>('shipped');
export const shippedName = signal(SHIPPED[0]!.name);
export const sides = signal<Sides>('both');
export const own = signal<readonly Candidate[]>([]);
export const backend = signal<BackendName | 'auto'>('auto');
export const weights = signal<WeightFormat>('f32');

const shipped = new Map<string, Candidate>();

function shippedCandidate(name: string, label: string, folder: string): Candidate {
  const known = shipped.get(folder);
  if (known) return known;
  const candidate = { label, place: name, source: shippedAddress(folder), facts: signal<Facts>() };
  shipped.set(folder, candidate);
  void describe(candidate);
  return candidate;
}

/** Of a shipped model, original first. */
function shippedCandidates(name: string, which: Sides): Candidate[] {
  const { title } = SHIPPED.find((model) => model.name === name)!;
  return [
    ...(which === 'converted' ? [] : [shippedCandidate(title, 'Original', name)]),
    ...(which === 'original' ? [] : [shippedCandidate(title, 'Converted', `${name}-converted`)]),
  ];
}

/** What is chosen now. */
export const candidates = computed<readonly Candidate[]>(() =>
  tab.value === 'own' ? own.value : shippedCandidates(shippedName.value, sides.value),
);

export function addOwn(label: string, place: string, source: ModelSource): void {
  const candidate = { label, place, source, facts: signal<Facts>() };
  own.value = [...own.value, candidate].slice(-MOST_CANDIDATES);
  void describe(candidate);
}

export function removeOwn(candidate: Candidate): void {
  own.value = own.value.filter((one) => one !== candidate);
}

export function chooseWeights(format: WeightFormat): void {
  weights.value = format;
  for (const candidate of [...shipped.values(), ...own.value]) void describe(candidate);
}

/** Read headers again, such as after a failure. */
export async function describe(candidate: Candidate): Promise<void> {
  const format = weights.peek();
  candidate.facts.value = undefined;
  try {
    const description = await describeInWorker(pageWorker(), candidate.source, { weights: format });
    if (format === weights.peek()) candidate.facts.value = { description };
  } catch (error) {
    const problem = explainError(error);
    if (problem.reload) endWorker();
    candidate.facts.value = { problem };
  }
}
