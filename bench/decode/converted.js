import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MODELS } from './prompts.js';

const OUT = fileURLToPath(new URL('../../out/bench-decode', import.meta.url));
export const COMMAND = fileURLToPath(
  new URL('../../packages/mha2mla/bin/mha2mla.js', import.meta.url),
);

/** @returns the folder of a small model at a quarter of its cache, converted once. */
export function convertedOf(model) {
  const folder = join(OUT, model);
  if (existsSync(join(folder, 'config.json'))) return folder;
  mkdirSync(OUT, { recursive: true });
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      ...[COMMAND, 'convert', join(MODELS, model), folder],
      ...['--kv-budget', '0.25', '--calibration', join(MODELS, 'scenes/calibration.jsonl')],
      ...(existsSync(folder) ? ['--resume'] : []),
    ],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`convertedOf: the conversion of ${model} failed: ${stderr}`);
  return folder;
}
