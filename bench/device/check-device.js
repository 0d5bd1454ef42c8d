/**
 * What this machine's device does with the runtime: `npm run check:device [-- --backend webgpu]`. Prints
 * the backend and its device, how many tests of every kernel pass on it, and one table of speeds. For
 * whoever has a device that nobody has tried yet: send what it prints.
 *
 *   --backend auto|tensorflow|wasm|webgpu   default auto: webgpu on hardware, tensorflow, wasm
 *   --kernels TEXT     only test files whose path holds it
 *   --contexts 256,…   of the table; default 1024,4096, on a software adapter none
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runProcess } from '../run-process.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SOFTWARE_DRIVER = '/usr/lib/chromium/vk_swiftshader_icd.json';
/** Where every kernel, and what is composed of them, is held against its reference. */
const TESTS = [
  'packages/kv-quant/src/kernels',
  'packages/kv-quant/src/webgpu',
  'packages/kv-quant/src/quantize.test.ts',
  'packages/mla-runtime/src/kernels',
  'packages/mla-runtime/src/webgpu',
  'packages/mla-runtime/src/decoder.test.ts',
];

const { values: flags } = parseArgs({
  options: {
    backend: { type: 'string', default: 'auto' },
    kernels: { type: 'string', default: '' },
    contexts: { type: 'string' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'mha2mla-device-'));
try {
  const device = await findDevice(flags.backend);
  console.log(device.text);
  const failed = await checkParity(device);
  await printSpeeds(device);
  if (failed > 0) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}

/** @returns the backend, the variables that lead a process to its device, and what to say of it. */
async function findDevice(backend) {
  const tries =
    backend === 'auto' ? ['webgpu', 'tensorflow', 'wasm'] : [backend, ...softwareOf(backend)];
  const missing = [];
  for (const name of tries) {
    const [own, driver] = name.split(' ');
    const env = driver ? { VK_ICD_FILENAMES: SOFTWARE_DRIVER } : { TEST_ADAPTER: 'default' };
    const describe = [join(ROOT, 'bench/device/describe-device.js'), own];
    const { code, output, log } = await run(describe, env);
    if (code !== 0) missing.push(/Error: (.*)/.exec(log)?.[1] ?? log);
    else {
      const device = { ...JSON.parse(output.trim().split('\n').at(-1)), backend: own, env };
      if (backend !== 'auto' || !device.software) return device;
    }
  }
  throw new Error(
    `check-device: expected the backend ${backend} to start, got ${missing.join('; ')}`,
  );
}

/** A machine without a driver of its own has the one that the tests use. */
function softwareOf(backend) {
  return backend === 'webgpu' && existsSync(SOFTWARE_DRIVER) ? ['webgpu software'] : [];
}

/** @returns how many tests failed. */
async function checkParity({ backend, env }) {
  const file = join(folder, 'tests.json');
  const paths = flags.kernels ? [flags.kernels] : TESTS;
  const vitest = [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', ...paths];
  const only = ['-t', `\\[${backend}\\]`, '--reporter=json', `--outputFile=${file}`];
  const required = backend === 'wasm' ? {} : { [`REQUIRE_${backend.toUpperCase()}`]: '1' };
  const { log } = await run([...vitest, ...only], { ...env, ...required });
  if (!existsSync(file))
    throw new Error(`check-device: the tests did not run: ${log.slice(-2000)}`);
  const { testResults } = JSON.parse(readFileSync(file, 'utf8'));
  let failures = 0;
  for (const { name, status, message, assertionResults } of testResults) {
    const count = (state) => assertionResults.filter((test) => test.status === state).length;
    const [passed, failed] = [count('passed'), count('failed')];
    const broken = status === 'failed' && failed === 0 ? 1 : 0; // the file did not load
    if (passed + failed + broken === 0) continue; // has none on this backend
    failures += failed + broken;
    console.log(`${relative(ROOT, name)}: ${passed} passed, ${failed + broken} failed`);
    if (broken) console.log(`  ${message.split('\n')[0]}`);
    for (const test of assertionResults.filter(({ status: of }) => of === 'failed')) {
      console.log(`  ${test.fullName}: ${test.failureMessages[0]?.split('\n')[0]}`);
    }
  }
  return failures;
}

async function printSpeeds({ backend, env, software }) {
  const contexts = flags.contexts ?? (software ? '' : '1024,4096');
  if (contexts === '') {
    console.log('No speeds: on a software adapter they mean nothing. Ask for them by --contexts.');
    return;
  }
  const bench = [
    ...[join(ROOT, 'bench/attention/run.js'), 'qwen2.5-vl-7b', '--backends', backend],
    ...['--contexts', contexts, '--prefill', contexts.split(',')[0], '--rounds', '2'],
    ...['--arms', 'original,joint,groups 4,naive', '--out', join(folder, 'speeds.json')],
  ];
  const { code, output, log } = await run(bench, env);
  if (code !== 0) throw new Error(`check-device: the bench failed: ${log.slice(-2000)}`);
  console.log(output);
}

function run(argv, env) {
  return runProcess(process.execPath, argv, { cwd: ROOT, env: { ...process.env, ...env } });
}
