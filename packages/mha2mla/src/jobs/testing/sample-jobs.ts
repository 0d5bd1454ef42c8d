import type { Job, JobKind } from '../job';
import type { ContentRef } from '../job-store';

const digest = (digit: number) => digit.toString(16).repeat(64);
const ref = (digit: number): ContentRef => ({ sha256: digest(digit), sizeBytes: digit });

const model = { folder: 'models/one', digest: digest(1), version: digest(2) };
const shared = { run: digest(0), model, plan: ref(3) };
const states = { ...shared, layer: 4, samples: ref(4), hidden: ref(5) };
const made = { shard: ref(6), record: ref(7) };
const several = [ref(8), ref(9), ref(10)];

const BY_KIND: { [Kind in JobKind]: Extract<Job, { kind: Kind }> } = {
  embed: { kind: 'embed', ...shared, samples: ref(4) },
  calibrate: { kind: 'calibrate', ...states, before: 16 },
  factor: { kind: 'factor', ...shared, layer: 4, seen: several },
  measure: { kind: 'measure', ...shared, layer: 4, seen: several },
  advance: { kind: 'advance', ...states, ...made, shards: 3 },
  fit: { kind: 'fit', ...shared, layer: 4, ...made, latents: several },
  forward: {
    ...{ kind: 'forward', ...shared, layer: 4 },
    ...{ places: ref(4), hidden: ref(5), healed: [ref(6)] },
  },
  heal: {
    ...{ kind: 'heal', ...shared, layer: 4, teacher: { ...model, folder: 'models/two' } },
    ...{ places: several, hidden: several, teacherHidden: several },
  },
  evaluate: { kind: 'evaluate', ...shared, questions: ref(4) },
};

/** A job of each kind; where two have fields in common, these are the same. */
export const JOBS: readonly Job[] = Object.values(BY_KIND);
