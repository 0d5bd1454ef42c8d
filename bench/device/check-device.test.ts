import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const SCRIPT = fileURLToPath(new URL('./check-device.js', import.meta.url));
/** As a person would start it, outside of the tests that this is one of. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(VITEST|REQUIRE_)/.test(name)),
);

function checkDevice(...argv: string[]) {
  return spawnSync(process.execPath, [SCRIPT, ...argv], { encoding: 'utf8', env });
}

test('check:device in small: the device, the tests of a kernel on it, a table', () => {
  const small = ['--kernels', 'kernels/affine-laws', '--contexts', '256'];
  const { stdout, stderr, status } = checkDevice('--backend', 'wasm', ...small);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  expect(stdout).toMatch(/^wasm, Node v\d+[.\d]+: with SIMD, one thread\n/);
  expect(stdout).toMatch(/affine-laws\.test\.ts: [1-9]\d* passed, 0 failed\n/);
  expect(stdout).toMatch(/\| 256 +\| [\d.]+ +\| [\d.]+ x \|/);
}, 300_000);

test('a backend that does not start is told of, not replaced by another', () => {
  const { stderr, status } = checkDevice('--backend', 'cuda');
  expect(status).toBe(1);
  expect(stderr).toMatch(/expected the backend cuda to start, got .*cuda/);
}, 60_000);
