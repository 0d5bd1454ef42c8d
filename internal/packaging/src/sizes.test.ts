/** Nothing has grown beyond scripts/size-limits.json, and the check of that fails when something has. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { repository } from './repository';

test('packages and pages are within their limits; what is beyond one is named', () => {
  const file = readFileSync(join(repository, 'scripts/size-limits.json'), 'utf8');
  const limits: Record<string, number> = JSON.parse(file);
  const folder = mkdtempSync(join(tmpdir(), 'mha2mla-sizes-'));
  const changed = join(folder, 'limits.json');
  writeFileSync(changed, JSON.stringify({ ...limits, 'LLaVA-1.5': 1000 }));
  const args = [join(repository, 'scripts/sizes.js'), changed];
  const run = spawnSync(process.execPath, args, { cwd: repository, encoding: 'utf8' });
  rmSync(folder, { recursive: true });
  expect(run.stderr).toMatch(/^sizes: LLaVA-1.5 must be at most 1000 bytes, got \d+\.\n$/);
  expect(run.status).toBe(1);
  for (const name of Object.keys(limits)) expect(run.stdout).toContain(name.split(', packed')[0]);
});
