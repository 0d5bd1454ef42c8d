import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from './run-command.js';
import { runDemo } from './run-demo.js';

/** The demo as it is run: on the built packages, each step a process. */
describe('the demo on the small LLaVA-1.5', () => {
  let rows: Awaited<ReturnType<typeof runDemo>>;
  let answer = '';

  beforeAll(async () => {
    rows = await runDemo('llava', {
      log: (line) => console.log(line),
      write: (text) => {
        answer += text;
      },
    });
  }, 400_000);

  const row = (step: string) => rows.find((one) => one.step === step)!;

  test('the original answers as its README says', () => {
    expect(row('original').accuracy).toBeCloseTo(0.993, 3);
    expect(row('original').cacheBytesPerToken).toBe(3072);
  });

  test('conversion takes an eighth of the cache, and costs answers', () => {
    expect(row('converted').cacheBytesPerToken).toBe(3072 / 8);
    expect(row('converted').accuracy).toBeLessThan(row('original').accuracy - 0.05);
  });

  test('healing wins back three quarters of what conversion lost', () => {
    const [before, after, whole] = ['converted', 'healed', 'original'].map(
      (step) => row(step).accuracy,
    ) as [number, number, number];
    expect((after - before) / (whole - before)).toBeGreaterThanOrEqual(0.75);
    expect(row('healed').nll).toBeLessThan(row('converted').nll);
    expect(row('healed').cacheBytesPerToken).toBe(3072 / 8);
  });

  test('four bits take less than half of it and cost at most two points', () => {
    const quantized = row('healed, 4-bit cache');
    expect(quantized.cacheBytesPerToken).toBeLessThan(3072 / 16);
    expect(quantized.accuracy).toBeGreaterThan(row('healed').accuracy - 0.02);
  });

  test('it answers in words', () => {
    expect(answer.trim()).toMatch(/^[a-z ,-]+$/);
  });
});

test('at a quarter of the cache conversion alone loses at most one point', async () => {
  const scenes = fixture('models/scenes');
  const folder = await mkdtemp(join(tmpdir(), 'mha2mla-quarter-'));
  const run = async (...args: string[]) =>
    JSON.parse(await runCommand([...args, '--json'], { label: 'quarter', log: console.log }));
  const out = join(folder, 'out');
  const options = ['--rope-dim', '8', '--rank', '8'];
  const calibration = ['--calibration', join(scenes, 'calibration.jsonl')];
  await run('convert', fixture('models/llava'), out, ...options, ...calibration);
  const asked = ['eval', out, join(scenes, 'test.jsonl'), '--limit', '300'];
  const { accuracy, cacheBytesPerToken } = await run(...asked);
  await rm(folder, { recursive: true });
  expect(cacheBytesPerToken).toBe(3072 / 4);
  expect(accuracy).toBeGreaterThanOrEqual(0.993 - 0.01);
}, 120_000);

test('a family that has no small model is refused by name', async () => {
  const streams = { log: () => {}, write: () => {} };
  await expect(runDemo('internvl', streams)).rejects.toThrow(
    'family must be one of llava, llava_next, qwen2_5_vl, got internvl',
  );
});
