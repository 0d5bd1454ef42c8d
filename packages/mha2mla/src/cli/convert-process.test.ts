/**
 * Conversions in processes of their own, that are killed, run out of disk, lose a thread, or grow:
 * of a model that is wide enough for its layers to be factored in threads.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { fixture } from '@mha2mla/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Bundle, bundleSources } from './testing/bundle-sources';
import { folderBytes } from './testing/folder-bytes';
import { killAtFile } from './testing/kill-at-file';
import { type Running, startProcess } from './testing/start-process';

const CALIBRATION = fixture('models/scenes/calibration.jsonl');
// Each test is several processes.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

let bundle: Bundle;
let root: string;
const at = (name: string) => join(root, name);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-convert-process-'));
  bundle = await bundleSources({ cli: 'cli.ts', 'factor-worker': 'node/factor-worker.ts' });
  await synthesise('model', ['--layers', '3', '--width', '384', '--heads', '6', '--inner', '768']);
  await writeFile(at('hook.mjs'), HOOK);
});
afterAll(async () => {
  await rm(root, { recursive: true });
  await bundle.remove();
});

/** Run beside the command line: says when a job goes to a thread, or ends that thread; tells memory. */
const HOOK = `
import { Worker } from 'node:worker_threads';
const post = Worker.prototype.postMessage;
let jobs = 0;
Worker.prototype.postMessage = function (...values) {
  process.stderr.write('job ' + jobs + '\\n');
  post.apply(this, values);
  if (String(jobs++) === process.env.LOSE_JOB) this.terminate();
};
process.on('exit', () => {
  if (process.env.TELL_MEMORY) process.stderr.write('peak ' + process.resourceUsage().maxRSS + '\\n');
});`;

async function synthesise(name: string, shape: string[]): Promise<void> {
  const script = fixture('bench/convert/synthetic-llava.js');
  const heads = shape[shape.indexOf('--heads') + 1]!;
  const argv = [script, at(name), ...shape, '--kv-heads', heads];
  expect(await startProcess(process.execPath, argv).ended).toBe(0);
}

interface Conversion {
  model?: string;
  argv?: string[];
  env?: Record<string, string>;
  /** A limit of file sizes, in blocks of the shell. */
  fileBlocks?: number;
}

function convert(
  name: string,
  { model = 'model', argv = [], env = {}, fileBlocks }: Conversion = {},
): Running {
  const hook = ['--import', pathToFileURL(at('hook.mjs')).href];
  const command = ['convert', at(model), at(name), '--rank', '8', '--quiet', '--backend', 'wasm'];
  const samples = ['--calibration', CALIBRATION, '--samples', '4'];
  const all = [...hook, join(bundle.folder, 'cli.js'), ...command, ...samples, ...argv];
  if (fileBlocks === undefined) return startProcess(process.execPath, all, env);
  const limited = ['-c', `ulimit -f ${fileBlocks}; exec "$0" "$@"`, process.execPath, ...all];
  return startProcess('sh', limited, env);
}

let whole: Promise<Record<string, string>> | undefined;

/** What a run in one thread that nothing happens to writes. */
function wholeBytes(): Promise<Record<string, string>> {
  whole ??= (async () => {
    const running = convert('whole', { argv: ['--workers', '1'] });
    expect([await running.ended, running.stderr]).toEqual([0, expect.stringMatching(/^job 0\n/)]);
    return folderBytes(at('whole'));
  })();
  return whole;
}

test.each(['2', '3'])('%s threads give the bytes of one', async (workers) => {
  const running = convert(`by ${workers}`, { argv: ['--workers', workers] });
  expect(await running.ended).toBe(0);
  expect(await folderBytes(at(`by ${workers}`))).toEqual(await wholeBytes());
});

test('hidden states on disk give the bytes of those in memory, and leave no file', async () => {
  expect(await convert('spilled', { argv: ['--spill-above', '0'] }).ended).toBe(0);
  expect(await folderBytes(at('spilled'))).toEqual(await wholeBytes());
});

type Moment = { file: RegExp } | { said: string };

/** Kill a run when something is there: a file of its folder, or a word of the hook. */
async function killWhen(running: Running, partial: string, moment: Moment) {
  if ('file' in moment) return (await killAtFile(running, partial, moment.file)).end;
  running.child.stderr!.on('data', () => {
    if (running.stderr.includes(moment.said)) running.child.kill('SIGKILL');
  });
  return running.ended;
}

/** In the order of a run; the last two may come too late, when OUT has its name already. */
const MOMENTS: [string, Moment][] = [
  ['the folder is made', { file: /^\.mha2mla-resume\.json$/ }],
  ['the first layer is factored', { said: 'job 0' }],
  ['the first layer is written', { file: /^\.model-00002.*\.tmp-/ }],
  ['samples went on, and its record is written', { file: /layer-00000\.json/ }],
  ['the next layer is factored, one job done', { said: 'job 1' }],
  ['the last layer is written', { file: /^\.model-00004.*\.tmp-/ }],
  ['the surrounding weights are written', { file: /^\.model-00001.*\.tmp-/ }],
  ['the report is there', { file: /^report\.json$/ }],
  ['config.json is there', { file: /^config\.json$/ }],
];

test('kill -9 when any of it happens, and --resume: the bytes of a whole run', async () => {
  const expected = await wholeBytes();
  const killed: string[] = [];
  for (const [i, [when, moment]] of MOMENTS.entries()) {
    const running = convert('killed', { argv: ['--workers', `${1 + (i % 3)}`, '--resume'] });
    const end = await killWhen(running, at('killed.partial'), moment);
    if (existsSync(at('killed'))) break;
    expect([when, end]).toEqual([when, 'SIGKILL']);
    killed.push(when);
  }
  expect(killed.length).toBeGreaterThanOrEqual(MOMENTS.length - 2);
  if (!existsSync(at('killed'))) {
    expect(await convert('killed', { argv: ['--resume'] }).ended).toBe(0);
  }
  expect(await folderBytes(at('killed'))).toEqual(expected);
  expect(existsSync(at('killed.partial'))).toBe(false);
});

test('a lost thread is an error that names its job, and the run goes on', async () => {
  const lost = convert('lost', { argv: ['--workers', '1'], env: { LOSE_JOB: '3' } });
  expect([await lost.ended, lost.stdout]).toEqual([1, '']);
  expect(lost.stderr).toMatch(
    /mha2mla: factorPool: a thread must answer for the factor of layer 1, text, got its end with code \d\. .*resume.*\n$/,
  );
  expect((await readdir(at('lost.partial'))).filter((name) => /safetensors$/.test(name))).toEqual([
    'model-00002-of-00004.safetensors',
  ]);
  expect(await convert('lost', { argv: ['--resume'] }).ended).toBe(0);
  expect(await folderBytes(at('lost'))).toEqual(await wholeBytes());
});

describe.skipIf(process.platform === 'win32')('a limit of file sizes (ulimit -f)', () => {
  test.each<[string, Conversion, RegExp]>([
    // Shards have 2 MB and more; 600 blocks are 300 or 600 kB, by shell.
    ['of a shard', { fileBlocks: 600 }, /"[^"]*model-00002-of-00004\.safetensors" must fit/],
    // Hidden states have 250 kB.
    ['of the hidden states', { fileBlocks: 100, argv: ['--spill-above', '0'] }, /hidden-states/],
  ])('%s ends in one clear line, and the run goes on', async (what, conversion, names) => {
    const limited = convert(what, conversion);
    expect([await limited.ended, limited.stdout]).toEqual([1, '']);
    expect(limited.stderr).toMatch(names);
    expect(limited.stderr).toMatch(
      /mha2mla: .*bytes are missing.*The limit of file sizes \(ulimit -f\) is reached\. Nothing that was finished is lost; make room and run again with resume\.\n$/,
    );
    expect(existsSync(at(what))).toBe(false);
    const argv = [...(conversion.argv ?? []), '--resume'];
    expect(await convert(what, { argv }).ended).toBe(0);
    expect(await folderBytes(at(what))).toEqual(await wholeBytes());
  });
});

test('memory does not grow with depth: six layers more take less than two of them would', async () => {
  const [width, inner] = [512, 4096];
  const shape = ['--width', `${width}`, '--heads', '8', '--inner', `${inner}`];
  const peaks: number[] = [];
  for (const layers of ['2', '8']) {
    await synthesise(`deep ${layers}`, ['--layers', layers, ...shape]);
    const running = convert(`converted ${layers}`, {
      model: `deep ${layers}`,
      argv: ['--workers', '1', '--groups', '8'],
      env: { TELL_MEMORY: '1' },
    });
    expect(await running.ended).toBe(0);
    peaks.push(1024 * Number(/peak (\d+)\n/.exec(running.stderr)![1]));
  }
  // In f32: q, k, v and o, then the three maps of the MLP.
  const layerBytes = 4 * (4 * width ** 2 + 3 * width * inner);
  expect(peaks[1]! - peaks[0]!).toBeLessThan(2 * layerBytes);
});
