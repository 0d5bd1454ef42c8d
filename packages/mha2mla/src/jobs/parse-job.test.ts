import { fuzzBytes, fuzzJson } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import type { Job } from './job';
import { parseJob, parseOutputs } from './parse-job';
import { JOBS } from './testing/sample-jobs';

const KEY = 'c'.repeat(64);
const clone = (job: Job) => structuredClone(job) as unknown as Record<string, unknown>;

describe.each(JOBS.map((job) => [job.kind, job] as const))('%s', (kind, job) => {
  test('a job is taken as it is', () => {
    expect(parseJob(clone(job))).toStrictEqual(job);
  });

  test('a field that is missing, of no use or too much is refused by its name', () => {
    for (const name of Object.keys(job).filter((field) => field !== 'kind')) {
      for (const value of [undefined, null, -1, 0.5, '../x', 'a'.repeat(65), [], {}, [null]]) {
        const edited = { ...clone(job), [name]: value };
        // A list of no contents is one.
        if (Array.isArray(value) && value.length === 0 && /seen|latents|healed/.test(name))
          continue;
        expect(() => parseJob(edited), `${name}=${value}`).toThrow(
          expect.objectContaining({ code: 'bad-job', message: expect.stringContaining(name) }),
        );
      }
    }
    const more = { ...clone(job), command: 'rm' };
    expect(() => parseJob(more)).toThrow(`parseJob: ${kind} has no other fields, got "command".`);
  });

  test('what was edited is refused, or is a job of well-formed fields', async () => {
    const read = (text: string) => {
      const parsed = parseJob(JSON.parse(text));
      const digests = JSON.stringify(parsed).match(/"(?:sha256|run|digest|version)":"[^"]*"/g)!;
      for (const digest of digests) expect(digest).toMatch(/:"[0-9a-f]{64}"$/);
      expect(Object.keys(parsed).sort()).toEqual(Object.keys(job).sort());
    };
    await fuzzJson(clone(job), read, { runs: 400 });
  });
});

test.each([undefined, null, 1, 'embed', [], [JOBS[0]], {}])('no job: %j', (value) => {
  expect(() => parseJob(value)).toThrow(expect.objectContaining({ code: 'bad-job' }));
});

test.each(['__proto__', 'constructor', 'toString', '', 'shell', null, ['embed']])(
  'no kind of ours: %j',
  (kind) => {
    expect(() => parseJob({ ...clone(JOBS[0]!), kind })).toThrow(/^parseJob: kind must be one of/);
  },
);

test('a content has a digest and a size, and nothing that could be believed by somebody else', () => {
  const plan = { sha256: KEY, sizeBytes: 1 };
  const withPlan = (own: object) => () =>
    parseJob({ ...clone(JOBS[0]!), plan: { ...plan, ...own } });
  expect(withPlan({})).not.toThrow();
  for (const own of [
    { path: '/etc/passwd' },
    { sizeBytes: -1 },
    { sizeBytes: 2 ** 53 },
    { sha256: 1 },
  ]) {
    expect(withPlan(own)).toThrow(/plan of embed must be well formed/);
  }
});

describe('what a job left', () => {
  const outputs = { hidden: { sha256: KEY, sizeBytes: 3 }, seen: { sha256: KEY, sizeBytes: 0 } };
  const text = JSON.stringify(outputs);

  test('comes back', () => {
    expect(parseOutputs(text, KEY)).toStrictEqual(outputs);
    expect(parseOutputs('{}', KEY)).toStrictEqual({});
  });

  test.each(['', 'x', '[]', 'null', '1', '{"a":1}', '{"a":{"sha256":"x","sizeBytes":1}}'])(
    'is refused: %j',
    (other) => {
      expect(() => parseOutputs(other, KEY)).toThrow(
        expect.objectContaining({ code: 'damaged-content' }),
      );
    },
  );

  test('edited bytes and values', async () => {
    const read = (edited: string) => {
      for (const ref of Object.values(parseOutputs(edited, KEY))) {
        expect(ref.sha256).toMatch(/^[0-9a-f]{64}$/);
      }
    };
    await fuzzJson(outputs, read, { runs: 500 });
    const bytes = new TextEncoder().encode(text);
    await fuzzBytes(bytes, (edited) => read(new TextDecoder().decode(edited)), { runs: 500 });
  });
});
