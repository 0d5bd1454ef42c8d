import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { folderOutput } from './folder-output';

test('a result says what it cost, and whether it was resumed', async () => {
  const root = await mkdtemp(join(tmpdir(), 'mha2mla-output-'));
  const began = performance.now() - 5000;
  const costOf = async (out: string) => JSON.parse(await readFile(join(out, 'cost.json'), 'utf8'));
  const ten = (sink: { write(bytes: Uint8Array): Promise<void> }) => sink.write(new Uint8Array(10));

  const whole = join(root, 'whole');
  const output = await folderOutput(whole, { resume: false, fingerprint: {}, began });
  await output.write('scratch', ten);
  await output.write('config.json', ten);
  await output.finish(['scratch']);
  const cost = await costOf(whole);
  expect(cost).toMatchObject({ resumed: false, sizeBytes: 10 });
  expect(cost.seconds).toBeGreaterThanOrEqual(5);
  expect(cost.seconds).toBeLessThan(30);
  expect(cost.peakMemoryBytes).toBeGreaterThan(20e6); // of Node alone
  expect(cost.peakMemoryBytes).toBeLessThanOrEqual(process.resourceUsage().maxRSS * 1024);

  const stopped = await folderOutput(join(root, 'late'), { resume: false, fingerprint: {} });
  await stopped.write('config.json', ten);
  await stopped.close();
  const resumed = await folderOutput(join(root, 'late'), { resume: true, fingerprint: {} });
  await resumed.finish([]);
  expect(await costOf(join(root, 'late'))).toMatchObject({ resumed: true, sizeBytes: 10 });
  await rm(root, { recursive: true });
});
