/** Jobs and records come over a network: nothing of them is believed before it was looked at. */
import { quoteName, showJson } from '@mha2mla/checkpoint';
import type { Job, JobKind, JobOutputs } from './job';
import { JobError } from './job-error';
import type { ContentRef } from './job-store';

/** More layers than any model has, more shards than a run can hold. */
const MOST = 1e6;

const run = ['run', isDigest] as const;
const model = ['model', isModel] as const;
const teacher = ['teacher', isModel] as const;
const plan = ['plan', isRef] as const;
const layer = ['layer', isCount] as const;
const samples = ['samples', isRef] as const;
const hidden = ['hidden', isRef] as const;
const shard = ['shard', isRef] as const;
const record = ['record', isRef] as const;

/** Of a healing; as many of each. */
const batches = [
  ['places', someRefs],
  ['hidden', someRefs],
  ['teacherHidden', someRefs],
] as const;

type Field = readonly [name: string, check: (value: unknown) => boolean];

/** Fields of each kind; no job has others. */
const FIELDS: Record<JobKind, readonly Field[]> = {
  embed: [run, model, plan, samples],
  calibrate: [run, model, plan, layer, samples, hidden, ['before', isCount]],
  factor: [run, model, plan, layer, ['seen', areRefs]],
  measure: [run, model, plan, layer, ['seen', areRefs]],
  advance: [run, model, plan, layer, samples, hidden, shard, record, ['shards', isCount]],
  fit: [run, model, plan, layer, shard, record, ['latents', areRefs]],
  forward: [run, model, plan, layer, ['places', isRef], hidden, ['healed', isRefOrNone]],
  heal: [run, model, teacher, plan, layer, ...batches],
  evaluate: [run, model, plan, ['questions', isRef]],
};

/** @throws JobError `bad-job` naming the field. */
export function parseJob(value: unknown): Job {
  if (!isRecord(value)) throw bad('a job must be an object', value);
  const { kind } = value;
  if (typeof kind !== 'string' || !Object.hasOwn(FIELDS, kind)) {
    throw bad(`kind must be one of ${Object.keys(FIELDS).join(', ')}`, kind);
  }
  const fields = FIELDS[kind as JobKind];
  for (const [name, check] of fields) {
    if (!check(value[name])) throw bad(`${name} of ${kind} must be well formed`, value[name]);
  }
  const known = new Set(['kind', ...fields.map(([name]) => name)]);
  const other = Object.keys(value).find((name) => !known.has(name));
  if (other !== undefined) throw bad(`${kind} has no other fields`, other);
  return value as unknown as Job;
}

/** @throws JobError `damaged-content` */
export function parseOutputs(text: string, key: string): JobOutputs {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (isRecord(value) && Object.values(value).every(isRef)) return value as JobOutputs;
  throw new JobError(
    'damaged-content',
    `parseOutputs: the record of job ${quoteName(key)} must name what it left. Remove it, and resume.`,
  );
}

function bad(expected: string, got: unknown): JobError {
  return new JobError('bad-job', `parseJob: ${expected}, got ${showJson(got)}.`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < MOST;
}

function isRef(value: unknown): value is ContentRef {
  if (!isRecord(value)) return false;
  const { sha256, sizeBytes, ...more } = value;
  if (Object.keys(more).length > 0) return false;
  return isDigest(sha256) && Number.isSafeInteger(sizeBytes) && (sizeBytes as number) >= 0;
}

function isRefOrNone(value: unknown): boolean {
  return areRefs(value) && (value as unknown[]).length <= 1;
}

function someRefs(value: unknown): boolean {
  return areRefs(value) && (value as unknown[]).length > 0;
}

function areRefs(value: unknown): boolean {
  return Array.isArray(value) && value.length <= MOST && value.every(isRef);
}

function isDigest(value: unknown): boolean {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}

/** The folder is looked at where it is opened. */
function isModel(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { folder, digest, version, ...more } = value;
  if (Object.keys(more).length > 0) return false;
  const named = typeof folder === 'string' && folder.length <= 1024;
  return named && isDigest(digest) && isDigest(version);
}
