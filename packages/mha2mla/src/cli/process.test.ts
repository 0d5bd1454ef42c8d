/** What only a process of its own shows: signals, pipes, exit status. */
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fixture, nameDriver, webGpuMissing } from '@mha2mla/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Bundle, bundleSources } from './testing/bundle-sources';
import { folderBytes } from './testing/folder-bytes';
import { type Running, startProcess } from './testing/start-process';

const MODEL = fixture('models/llava');
const DATA = fixture('models/scenes/test.jsonl');
const PACKAGE = fixture('packages/mha2mla');
/** A second, and what a busy machine needs to get round to it. */
const SOON_MS = 2500;
/** From the start of `eval`: it has loaded, even on a busy machine, and is far from its end. */
const WORKING_MS = 4000;
/**
 * Where a process is interrupted: a signal that comes while oneDNN multiplies for tfjs-node may break
 * the heap (docs/limits.md).
 */
const INTERRUPTIBLE = ['--backend', 'wasm'];
let bundle: Bundle;
let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-process-'));
  bundle = await bundleSources({
    cli: 'cli.ts',
    'factor-worker': 'node/factor-worker.ts',
    'heal-worker': 'node/heal-worker.ts',
  });
});
afterAll(async () => {
  await rm(root, { recursive: true });
  await bundle.remove();
});

function start(argv: readonly string[], env: Record<string, string> = {}): Running {
  return startProcess(process.execPath, [join(bundle.folder, 'cli.js'), ...argv], env);
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !condition(); i++) await delay(20);
  expect(condition()).toBe(true);
}

/** Layers that an unfinished run has written. */
function shardsIn(folder: string): number {
  if (!existsSync(folder)) return 0;
  return readdirSync(folder).filter((name) => name.endsWith('.safetensors')).length;
}

/** Interrupt, and see it end soon. */
async function stopped(running: Running): Promise<void> {
  const asked = performance.now();
  running.child.kill('SIGINT');
  expect(await running.ended).toBe(130);
  expect(performance.now() - asked).toBeLessThan(SOON_MS);
}

test('the bin is a small committed file that can be run', async () => {
  const path = join(PACKAGE, 'bin/mha2mla.js');
  expect(await readFile(path, 'utf8')).toBe("#!/usr/bin/env node\nimport '../dist/cli.js';\n");
  if (process.platform !== 'win32') expect((await stat(path)).mode & 0o111).toBe(0o111);
});

describe('status and streams', () => {
  test('a result is whole on standard output, with status 0', async () => {
    const running = start(['inspect', MODEL, '--json']);
    expect(await running.ended).toBe(0);
    expect(JSON.parse(running.stdout).family).toBe('llava');
    expect(running.stderr).toBe('');
  });

  test('headers alone are read: well under a second', async () => {
    const started = performance.now();
    await start(['inspect', MODEL]).ended;
    expect(performance.now() - started).toBeLessThan(SOON_MS);
  });

  test.each([
    [2, ['inspect']],
    [1, ['inspect', '/none/such', '--json']],
  ])('status %i', async (status, argv) => {
    const running = start(argv);
    expect(await running.ended).toBe(status);
    expect(running.stdout).toBe('');
    expect(running.stderr).toMatch(/^mha2mla: .*\n$/);
  });

  test('a reader that has left is no failure: inspect | head -0', async () => {
    const running = start(['inspect', MODEL, '--json']);
    running.child.stdout!.destroy();
    expect(await running.ended).toBe(0);
    expect(running.stderr).toBe('');
  });

  test('nothing has a colour, asked for or not', async () => {
    for (const name of ['FORCE_COLOR', 'NO_COLOR']) {
      const running = start(['convert', '--help'], { [name]: '1' });
      expect(await running.ended).toBe(0);
      expect(running.stdout).not.toContain('\u001b');
    }
  });

  test('a prompt comes through a pipe', async () => {
    const image = fixture('models/scenes/images/test-000.png');
    const running = start(['generate', MODEL, '--image', image, '--prompt', '-', '--quiet']);
    running.child.stdin!.end('what is in the middle center?\n');
    expect(await running.ended).toBe(0);
    expect([running.stdout, running.stderr]).toEqual([' car\n', '']);
  });
});

describe('the first interruption stops soon, with status 130', () => {
  test('convert: it goes on to the same bytes', async () => {
    const options = ['--rank', '12', '--samples', '8', '--quiet', ...INTERRUPTIBLE];
    const calibration = ['--calibration', fixture('models/scenes/calibration.jsonl')];
    const convert = (name: string, ...more: string[]) =>
      start(['convert', MODEL, join(root, name), ...options, ...calibration, ...more]);
    const running = convert('stopped');
    await until(() => shardsIn(join(root, 'stopped.partial')) > 0);
    await stopped(running);
    expect(running.stdout).toBe('');
    expect(running.stderr).toMatch(
      /^interrupted; go on with: mha2mla convert .*\/stopped --rank 12 .* --resume\n$/,
    );
    expect(await readdir(root)).toEqual(['stopped.partial']);
    expect(await convert('stopped', '--resume').ended).toBe(0);
    expect(await convert('whole').ended).toBe(0);
    expect(await folderBytes(join(root, 'stopped'))).toEqual(
      await folderBytes(join(root, 'whole')),
    );
  });

  test('generate: what was said is kept, and its stats are told', async () => {
    const long = ['--temperature', '100', '--max-tokens', '1500', '--stats', '--quiet'];
    const running = start(['generate', MODEL, '--prompt', 'list all', ...long, ...INTERRUPTIBLE]);
    await until(() => running.stdout.length > 10);
    await stopped(running);
    expect(running.stdout.endsWith('\n')).toBe(true);
    expect(running.stderr).toMatch(
      /^\d+ tokens \(abort\), .*\ninterrupted; start again with: .*\n$/,
    );
  });

  test('eval, in the midst of a batch', async () => {
    const small = ['--batch', '8', '--json', '--quiet'];
    const running = start(['eval', MODEL, DATA, ...small, ...INTERRUPTIBLE]);
    await delay(WORKING_MS);
    await stopped(running);
    expect(running.stdout).toBe('');
    expect(running.stderr).toMatch(/^interrupted; start again with: mha2mla eval .*\n$/);
  });
});

test('the second interruption leaves at once', async () => {
  const running = start(['eval', MODEL, DATA, '--quiet', ...INTERRUPTIBLE]);
  await delay(WORKING_MS);
  // Both are there when the process looks again, so that it cannot stop cleanly in between.
  running.child.kill('SIGSTOP');
  running.child.kill('SIGINT');
  running.child.kill('SIGTERM');
  running.child.kill('SIGCONT');
  expect(await running.ended).toBe(130);
  expect([running.stdout, running.stderr]).toEqual(['', '']);
});

describe('threads that share an update', () => {
  const heal = (name: string, ...more: string[]) => {
    const models = [join(root, 'shared'), join(root, name), '--teacher', MODEL];
    const short = ['--steps', '2', '--batch', '20', '--r', '2', '--limit', '40'];
    const data = ['--data', fixture('models/scenes/heal.jsonl')];
    return start(['heal', ...models, ...data, ...short, ...more]);
  };

  beforeAll(async () => {
    const options = ['--strategy', 'high', '--rope-dim', '8', '--init', 'weights', '--rank', '12'];
    expect(await start(['convert', MODEL, join(root, 'shared'), ...options]).ended).toBe(0);
  });

  test('give the bytes that one thread gives', async () => {
    const runs = [heal('one'), heal('two', '--workers', '2')];
    expect(await Promise.all(runs.map(({ ended }) => ended))).toEqual([0, 0]);
    expect(await folderBytes(join(root, 'two'))).toEqual(await folderBytes(join(root, 'one')));
  });

  test('are heard when they fail, and ended when interrupted', async () => {
    const wide = heal('failed', '--workers', '2', '--lr', '1e30');
    expect(await wide.ended).toBe(1);
    expect(wide.stderr).toMatch(/mha2mla: healModel: loss and gradients must stay finite/);
    const small = ['--steps', '200', '--batch', '4'];
    const long = heal('stopped-threads', '--workers', '2', ...small, ...INTERRUPTIBLE);
    await until(() => /heal: \d+ of 200/.test(long.stderr));
    await stopped(long);
  });
});

const noWebGpu = webGpuMissing();

test.skipIf(noWebGpu)(
  `webgpu answers what wasm does, and the process ends${noWebGpu ? ` [webgpu: ${noWebGpu}]` : ''}`,
  async () => {
    nameDriver();
    const model = fixture('fixtures/hf/llava/checkpoint');
    const answer = async (backend: string) => {
      const argv = ['generate', model, '--prompt', 'Hello', '--max-tokens', '3', '--json'];
      const running = start([...argv, '--backend', backend]);
      expect(await running.ended, running.stderr).toBe(0);
      return JSON.parse(running.stdout).text;
    };
    expect(await answer('webgpu')).toBe(await answer('wasm'));
  },
);
