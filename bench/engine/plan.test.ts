import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const SCRIPT = fileURLToPath(new URL('./plan.js', import.meta.url));
const MEASURED = new URL('../results/factorise-llava-next.json', import.meta.url);

test('the shape that was measured takes what was measured, of both modalities together', () => {
  const { runs } = JSON.parse(readFileSync(MEASURED, 'utf8'));
  const seconds = Math.min(...runs.exact.map((run: { seconds: number }) => run.seconds));
  const planned = spawnSync(process.execPath, [SCRIPT, '--model', 'llava-next-8b'], {
    encoding: 'utf8',
  });
  expect(planned.stdout).toContain(`factors of a layer ${seconds.toFixed(0)} s.`);
});
