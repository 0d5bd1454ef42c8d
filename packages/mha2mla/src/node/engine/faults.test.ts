/**
 * Conversions, and a healing, over a real Redis, by worker processes that are killed, stopped, cut off or run out of
 * disk: the bytes are those of one machine, or there is an error from which the run goes on.
 */
import { cp, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Bundle, bundleSources } from '../../cli/testing/bundle-sources';
import { folderBytes } from '../../cli/testing/folder-bytes';
import { type Running, startProcess } from '../../cli/testing/start-process';
import type { Job } from '../../jobs/job';
import { folderStore } from './folder-store';
import { queueEngine } from './queue-engine';
import { type Network, openNetwork } from './testing/open-network';
import { hasRedis, type RedisServer, said, startRedis } from './testing/start-redis';
import { PASSWORD, startSecureRedis } from './testing/start-secure-redis';

const CALIBRATION = fixture('models/scenes/calibration.jsonl');
// Each test is several processes.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

let bundle: Bundle;
let root: string;
let whole: Record<string, string>;
let redis: RedisServer;
let started: Running[];
let count = 0;
const at = (name: string) => join(root, name);

describe.skipIf(!hasRedis)('over Redis', () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'mha2mla-faults-'));
    await cp(fixture('models/llava'), at('store/llava'), { recursive: true });
    bundle = await bundleSources({
      cli: 'cli.ts',
      'job-thread': 'node/engine/job-thread.ts',
      'factor-worker': 'node/factor-worker.ts',
    });
    const running = run(convertWords('whole'));
    expect([await running.ended, running.stderr]).toEqual([0, '']);
    whole = await folderBytes(at('whole'));
  });
  afterAll(async () => {
    await bundle.remove();
    await rm(root, { recursive: true });
  });
  beforeEach(async () => {
    redis = await startRedis(['--bind', '0.0.0.0', '--protected-mode', 'no']);
    started = [];
  });
  afterEach(async () => {
    for (const { child } of started) child.kill('SIGKILL');
    await Promise.all(started.map(({ ended }) => ended));
    await redis.remove();
    await rm(at('store/runs'), { recursive: true, force: true });
  });

  test('two workers give the bytes of one machine, and leave nothing in the store', async () => {
    const workers = [worker(), worker()];
    await Promise.all(workers.map((own) => said(own, 'at once')));
    const [name, running] = convert();
    expect([await running.ended, running.stderr]).toEqual([0, '']);
    expect(await folderBytes(at(name))).toEqual(whole);
    for (const { stderr } of workers) expect(stderr).toContain(': completed');
    expect(await readdir(at('store/runs'))).toEqual([]);
  });

  test('an evaluation by two workers gives the answers of one machine', async () => {
    const words = ['eval', at('store/llava'), fixture('models/scenes/test.jsonl'), '--limit', '12'];
    const asked = [...words, '--batch', '4', '--json', '--quiet', '--backend', 'wasm'];
    const here = run(asked);
    expect(await here.ended).toBe(0);
    worker();
    worker();
    const spread = run([...asked, ...engine()]);
    expect([await spread.ended, spread.stderr]).toEqual([0, '']);
    expect(JSON.parse(spread.stdout)).toEqual(JSON.parse(here.stdout));
  });

  test('a healing layer by layer, a worker of which is killed, gives the bytes of one machine', async () => {
    await cp(at('whole'), at('store/converted'), { recursive: true });
    const data = ['--data', fixture('models/scenes/heal.jsonl'), '--limit', '10', '--batch', '1'];
    const short = ['--steps', '2', '--r', '2', '--quiet', '--backend', 'wasm'];
    const recipe = ['--recipe', 'layerwise', '--layer-inputs', 'teacher', ...data, ...short];
    const words = (name: string) => [
      ...['heal', at('store/converted'), at(name), '--teacher', at('store/llava'), ...recipe],
    ];
    const here = run(words('healed'));
    expect([await here.ended, here.stderr]).toEqual([0, '']);
    const victim = worker();
    const spread = run([...words('healed-spread'), ...engine()]);
    await said(victim, 'heal of layer 1: active');
    victim.child.kill('SIGKILL');
    worker();
    expect([await spread.ended, spread.stderr]).toEqual([0, '']);
    expect(await folderBytes(at('healed-spread'))).toEqual(await folderBytes(at('healed')));
    expect(await readdir(at('store/runs'))).toEqual([]);
  });

  test('kill -9 of a worker in its job: another does it', async () => {
    const victim = worker();
    const [name, running] = convert();
    await said(victim, 'calibrate of layer 1: active');
    victim.child.kill('SIGKILL');
    worker();
    expect([await running.ended, running.stderr]).toEqual([0, '']);
    expect(await folderBytes(at(name))).toEqual(whole);
  });

  test('a worker that stands still beyond its lease, and goes on: the same bytes', async () => {
    const victim = worker();
    const [name, running] = convert();
    await said(victim, 'calibrate of layer 1: active');
    victim.child.kill('SIGSTOP');
    const other = worker();
    await said(other, 'calibrate of layer 1: completed');
    victim.child.kill('SIGCONT');
    expect([await running.ended, running.stderr]).toEqual([0, '']);
    expect(await folderBytes(at(name))).toEqual(whole);
    expect(victim.child.exitCode).toBe(null);
  });

  test('a server that restarts and has lost the queue: it is filled again', async () => {
    const own = worker();
    const [name, running] = convert();
    await said(own, 'calibrate of layer 1: active');
    await redis.kill();
    await redis.start();
    expect([await running.ended, running.stderr]).toEqual([0, '']);
    expect(await folderBytes(at(name))).toEqual(whole);
  });

  test('kill -9 of who has started the run, and --resume: no job is done twice', async () => {
    const own = worker();
    const [name, running] = convert();
    await said(own, 'factor of layer 1: completed');
    running.child.kill('SIGKILL');
    await running.ended;
    const again = run([...convertWords(name), ...engine(), '--resume']);
    expect([await again.ended, again.stderr]).toEqual([0, '']);
    expect(await folderBytes(at(name))).toEqual(whole);
    const factored = own.stderr.match(/factor of layer \d: completed/g)!;
    expect(new Set(factored).size).toBe(factored.length);
  });

  test('a worker whose files may not grow says so and ends; another does its job', async () => {
    const small = worker({ fileBlocks: 100 });
    await said(small, 'at once');
    const [name, running] = convert();
    expect(await small.ended).toBe(1);
    expect(small.stderr).toMatch(/must fit on the disk.*EFBIG/);
    worker();
    expect([await running.ended, running.stderr]).toEqual([0, '']);
    expect(await folderBytes(at(name))).toEqual(whole);
  });

  test('a poisoned job fails after its tries, with its message; the run goes on once it is cured', async () => {
    await cp(at('store/llava'), at('store/poisoned/llava'), { recursive: true });
    const cured = await poison(at('store/poisoned/llava/model.safetensors'));
    const own = worker();
    const [name, running] = convert({ model: 'store/poisoned/llava' });
    expect(await running.ended).toBe(1);
    expect(running.stderr).toMatch(/of layer 2 failed 3 times, last with: .*layers\.2\..*finite/);
    expect(own.child.exitCode).toBe(null);
    const status = run(['status', '--engine', redis.url, '--json']);
    expect(await status.ended).toBe(0);
    const [seen] = JSON.parse(status.stdout).runs;
    expect(seen.failed).toBeGreaterThan(0);
    expect(seen.failures[0]).toMatch(/layers\.2\./);
    await cured();
    const again = run([...convertWords(name, 'store/poisoned/llava'), ...engine(), '--resume']);
    expect([await again.ended, again.stderr]).toEqual([0, '']);
    expect(await folderBytes(at(name))).toEqual(whole);
  });

  test('a worker for another backend refuses by name and ends; the job goes to the right one', async () => {
    const other = worker({ backend: 'cpu' });
    await said(other, 'at once');
    const [name, running] = convert();
    expect(await other.ended).toBe(1);
    expect(other.stderr).toMatch(
      /the run is of "mha2mla-.*" on "wasm", this worker of .* on "cpu"/,
    );
    worker();
    expect([await running.ended, running.stderr]).toEqual([0, '']);
    expect(await folderBytes(at(name))).toEqual(whole);
  });

  // A network of its own is root's to make.
  test.skipIf(process.getuid?.() !== 0)(
    'a worker that loses its network for longer than its lease: the same bytes',
    async () => {
      const network = await openNetwork();
      try {
        const cutOff = worker({
          url: redis.url.replace('127.0.0.1', network.host),
          within: network,
        });
        const [name, running] = convert();
        await said(cutOff, 'calibrate of layer 1: active');
        await network.set('down');
        const other = worker();
        await said(other, 'calibrate of layer 1: completed');
        await network.set('up');
        expect([await running.ended, running.stderr]).toEqual([0, '']);
        expect(await folderBytes(at(name))).toEqual(whole);
        expect(cutOff.child.exitCode).toBe(null);
      } finally {
        await network.remove();
      }
    },
  );

  test('a server with TLS and a password, neither of which is told', async () => {
    const secure = await startSecureRedis();
    const env = { NODE_EXTRA_CA_CERTS: secure.certificate, MHA2MLA_ENGINE: secure.url };
    const store = ['--store', at('store'), '--backend', 'wasm'];
    try {
      const own = run(['worker', ...store, '--workers', '1'], env);
      const running = run([...convertWords('secure'), ...store], env);
      expect([await running.ended, running.stderr]).toEqual([0, '']);
      expect(await folderBytes(at('secure'))).toEqual(whole);
      const wrong = run(['status', '--engine', secure.url.replace(PASSWORD, 'other-word')], env);
      expect(await wrong.ended).toBe(1);
      expect(wrong.stderr).toMatch(/rediss:\/\/localhost:\d+ must answer, got: WRONGPASS/);
      const words = ['worker', ...store, '--engine', secure.url];
      const named = run(words, { NODE_EXTRA_CA_CERTS: secure.certificate });
      await said(named, 'at once');
      named.child.kill('SIGINT');
      expect(await named.ended).toBe(130);
      for (const { stdout, stderr } of [own, running, wrong, named]) {
        expect(stdout + stderr).not.toMatch(/open-sesame|other-word|somebody/);
      }
    } finally {
      await secure.remove();
    }
  });

  test('equal jobs that are asked for at once: both are told how it ended', async () => {
    const own = worker();
    await said(own, 'at once');
    const store = folderStore(at('store'));
    const runtime = await runtimeOf(own);
    const asked = await queueEngine({ url: redis.url, store, runtime, attempts: 1 });
    const job = embedOf('llava') as Job; // of another digest
    const both = await Promise.allSettled([asked.run(job), asked.run({ ...job })]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await asked.close();
  });

  test.each([
    ['of another kind', { kind: 'exec', command: 'id' }, /kind must be one of/],
    ['with a model above the store', embedOf('../../../etc'), /must stay inside/],
    ['with a model elsewhere', embedOf('/etc'), /must be relative/],
    ['with a run elsewhere', { ...embedOf('llava'), run: '../../x' }, /run of embed must be well/],
    ['with a further field', { ...embedOf('llava'), extra: 1 }, /no other fields/],
  ])('a hostile job, %s, is refused, and the worker lives', async (_, job, message) => {
    const own = worker();
    await said(own, 'at once');
    const connection = new Redis(redis.url, { maxRetriesPerRequest: null });
    const queue = new Queue('mha2mla', { connection });
    const runtime = await runtimeOf(own);
    const added = await queue.add('embed', { job, runtime }, { attempts: 1 });
    await said(own, ': failed');
    const { failedReason } = (await queue.getJob(added.id!)) as { failedReason: string };
    expect(failedReason).toMatch(message);
    expect(own.child.exitCode).toBe(null);
    await queue.close();
    connection.disconnect();
  });
});

/** A job of a model at a path, whose contents there are not. */
function embedOf(folder: string) {
  const ref = { sha256: 'b'.repeat(64), sizeBytes: 8 };
  const digest = 'c'.repeat(64);
  const model = { folder, digest, version: digest };
  return { kind: 'embed', run: 'a'.repeat(64), model, plan: ref, samples: ref };
}

/** What a worker says it is. */
async function runtimeOf({ stderr }: Running) {
  const version = /jobs of .* by (\S+) on wasm/.exec(stderr)![1]!;
  return { version, backend: 'wasm' };
}

function run(words: readonly string[], env: Record<string, string> = {}): Running {
  const running = startProcess(process.execPath, [join(bundle.folder, 'cli.js'), ...words], env);
  started?.push(running);
  return running;
}

function convertWords(name: string, model = 'store/llava'): string[] {
  const size = ['--rank', '8', '--rope-dim', '4', '--quiet', '--backend', 'wasm'];
  // Two shards.
  const samples = ['--calibration', CALIBRATION, '--samples', '18'];
  return ['convert', at(model), at(name), ...size, ...samples];
}

function engine(url = redis.url): string[] {
  return ['--engine', url, '--store', at('store')];
}

function convert({ model }: { model?: string } = {}): [name: string, Running] {
  const name = `spread-${count++}`;
  return [name, run([...convertWords(name, model), ...engine()])];
}

interface WorkerOptions {
  url?: string;
  /** A network of its own. */
  within?: Network;
  backend?: string;
  /** A limit of file sizes, in blocks of the shell. */
  fileBlocks?: number;
}

function worker({ url, within, backend = 'wasm', fileBlocks }: WorkerOptions = {}): Running {
  const own = ['--workers', '1', '--lease', '2', '--backend', backend];
  const words = [join(bundle.folder, 'cli.js'), 'worker', ...engine(url), ...own];
  const limit = `ulimit -f ${fileBlocks ?? 'unlimited'}; exec "$0" "$@"`;
  const [command, ...before] = [...(within?.command ?? []), 'sh', '-c', limit];
  const running = startProcess(command!, [...before, process.execPath, ...words]);
  started.push(running);
  return running;
}

/** Write NaN into a weight of layer 2. @returns what puts the old bytes back, with the old time. */
async function poison(path: string): Promise<() => Promise<void>> {
  const before = await readFile(path);
  const length = Number(before.readBigUInt64LE(0));
  const header = JSON.parse(before.subarray(8, 8 + length).toString());
  const name = Object.keys(header).find((key) => key.includes('layers.2.self_attn.q_proj.weight'))!;
  const file = await open(path, 'r+');
  const { atime, mtime } = await file.stat();
  await file.write(Buffer.alloc(4, 0xff), 0, 4, 8 + length + header[name].data_offsets[0]);
  await file.utimes(atime, mtime);
  await file.close();
  return async () => {
    const again = await open(path, 'r+');
    await again.write(before, 0, before.length, 0);
    await again.utimes(atime, mtime);
    await again.close();
  };
}
