/** Healings in processes of their own, that are killed at any moment and go on. */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Bundle, bundleSources } from './testing/bundle-sources';
import { folderBytes } from './testing/folder-bytes';
import { killAtFile } from './testing/kill-at-file';
import { type Running, startProcess } from './testing/start-process';

// Each test is several processes.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let bundle: Bundle;
let root: string;
const at = (name: string) => join(root, name);
const start = (...argv: string[]) => startProcess(process.execPath, argv);
const cli = (...argv: string[]) =>
  start(join(bundle.folder, 'cli.js'), ...argv, '--quiet', '--backend', 'wasm');

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-heal-process-'));
  bundle = await bundleSources({ cli: 'cli.ts', 'job-thread': 'node/engine/job-thread.ts' });
  const shape = { layers: 2, width: 32, heads: 2, 'kv-heads': 2, inner: 32 };
  const sizes = Object.entries(shape).flatMap(([name, size]) => [`--${name}`, `${size}`]);
  const script = fixture('bench/convert/synthetic-llava.js');
  expect(await start(script, at('model'), ...sizes).ended).toBe(0);
  const weights = ['--rank', '4', '--strategy', 'low', '--init', 'weights'];
  expect(await cli('convert', at('model'), at('converted'), ...weights).ended).toBe(0);
});
afterAll(async () => {
  await rm(root, { recursive: true });
  await bundle.remove();
});

function heal(name: string, ...argv: string[]): Running {
  const data = ['--data', fixture('models/scenes/heal.jsonl'), '--limit', '6', '--batch', '1'];
  const options = ['--teacher', at('model'), '--r', '2', ...data, ...argv];
  return cli('heal', at('converted'), at(name), ...options);
}

test.each(['student', 'teacher'])(
  'layers that learn on inputs of the %s, by jobs of two threads: the bytes of one process',
  async (whose) => {
    const argv = ['--recipe', 'layerwise', '--layer-inputs', whose, '--steps', '4'];
    const [whole, spread] = [`${whose} whole`, `${whose} spread`];
    const running = heal(spread, ...argv, '--engine', 'threads', '--workers', '2');
    expect([await running.ended, running.stderr]).toEqual([0, '']);
    expect(await heal(whole, ...argv).ended).toBe(0);
    expect(await folderBytes(at(spread))).toEqual(await folderBytes(at(whole)));
    expect((await readdir(root)).filter((name) => name.endsWith('.jobs'))).toEqual([]);
  },
);

/** In the order of a run; the last two are of its result, those before of what a killed run keeps. */
const MOMENTS: Record<string, { argv: string[]; moments: RegExp[]; kept: RegExp }> = {
  'one-stage': {
    // A state is kept after 25 updates.
    argv: ['--steps', '30'],
    moments: [/^\.heal-state.*\.tmp-/, /^heal-state/, /^\.model.*\.tmp-/, /^heal\.json$/],
    kept: /^\.heal-state.*\.tmp-/,
  },
  layerwise: {
    argv: ['--recipe', 'layerwise', '--steps', '4'],
    moments: [
      /^\.healed-00000.*\.tmp-/,
      /^healed-00000/,
      /^\.healed-00001.*\.tmp-/,
      /^healed-00001/,
      /^\.model.*\.tmp-/,
      /^heal\.json$/,
    ],
    kept: /^\.healed-.*\.tmp-/,
  },
  progressive: {
    argv: ['--recipe', 'progressive', '--rank', '2', '--steps', '3'],
    moments: [
      ...[0, 1, 2].flatMap((stage) => [
        new RegExp(`^\\.healed-stage-${stage}.*\\.tmp-`),
        new RegExp(`^healed-stage-${stage}`),
      ]),
      /^\.model.*\.tmp-/,
      /^heal\.json$/,
    ],
    kept: /^\.healed-.*\.tmp-/,
  },
};

test.each(Object.entries(MOMENTS))(
  '%s: kill -9 at any moment, and --resume: the bytes of a whole run, and no update twice',
  async (recipe, { argv, moments, kept }) => {
    const [whole, killed] = [`${recipe} whole`, `${recipe} killed`];
    expect(await heal(whole, ...argv).ended).toBe(0);
    const written = new Set<string>();
    const run = async (moment?: RegExp) => {
      const running = heal(killed, ...argv, '--resume');
      const { end, seen } = await killAtFile(running, at(`${killed}.partial`), moment);
      for (const name of seen) if (kept.test(name)) written.add(name);
      return end;
    };
    for (const [i, moment] of moments.entries()) {
      const end = await run(moment);
      // The last two may come too late, when OUT has its name already.
      if (i >= moments.length - 2 && existsSync(at(killed))) break;
      expect([moment, end]).toEqual([moment, 'SIGKILL']);
    }
    if (!existsSync(at(killed))) expect(await run()).toBe(0);
    // Each piece is written when it is killed in that, and once more, but never after it is kept.
    expect(written.size).toBe(moments.length - 2);
    expect(await folderBytes(at(killed))).toEqual(await folderBytes(at(whole)));
    expect(existsSync(at(`${killed}.partial`))).toBe(false);
  },
);
