import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Job, type JobRuntime, jobKey } from './job';
import { JOBS } from './testing/sample-jobs';

const RUNTIME: JobRuntime = { version: 'mha2mla-1.0.0+tfjs-4.22.0', backend: 'wasm' };

/** The same value, made in another order. */
function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).reverse();
  return Object.fromEntries(entries.map(([name, part]) => [name, shuffled(part)]));
}

/** Every way to change one field of a job a little, at any depth. */
function variants(value: unknown): unknown[] {
  if (typeof value === 'number') return [value + 1];
  if (typeof value === 'string') return [`${value.slice(1)}${value[0] === 'f' ? 'e' : 'f'}`];
  if (Array.isArray(value)) {
    const [first, ...rest] = value;
    const others = value.flatMap((part, i) =>
      variants(part).map((other) => [...value.slice(0, i), other, ...value.slice(i + 1)]),
    );
    const turned = rest.length > 0 ? [[...rest, first]] : [];
    return [rest, [first, ...value], ...turned, ...others];
  }
  const record = value as Record<string, unknown>;
  return Object.entries(record).flatMap(([name, part]) =>
    variants(part).map((other) => ({ ...record, [name]: other })),
  );
}

test('a key is 64 hex digits, and the order of fields plays no part', async () => {
  for (const job of JOBS) {
    const key = await jobKey(job, RUNTIME);
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(await jobKey(shuffled(job) as Job, { ...RUNTIME })).toBe(key);
  }
});

test('every field of a job, and what it runs on, changes its key', async () => {
  const keys: string[] = [];
  for (const job of JOBS) {
    for (const other of [job, ...variants(job)]) keys.push(await jobKey(other as Job, RUNTIME));
    for (const other of variants(RUNTIME)) keys.push(await jobKey(job, other as JobRuntime));
  }
  expect(new Set(keys).size).toBe(keys.length);
  expect(keys.length).toBeGreaterThan(100);
});

test('names cannot be made to run into one another', async () => {
  const texts = fc.tuple(fc.string(), fc.string());
  const property = fc.asyncProperty(texts, texts, async (a, b) => {
    fc.pre(a.join('\0') !== b.join('\0'));
    const [one, two] = [a, b].map(([version, backend]) => ({
      version: version!,
      backend: backend!,
    }));
    expect(await jobKey(JOBS[0]!, one!)).not.toBe(await jobKey(JOBS[0]!, two!));
  });
  await fc.assert(property, { seed: 1, numRuns: 50 });
});
