/**
 * The models that the page ships with: the small ones as they are, and each converted to a quarter of
 * its cache. `node build-models.js [NAME…]`, all by default, into public/, which is not committed.
 * What is there already is kept; `--force` makes it again.
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const MODELS = join(HERE, '../../models');
const PUBLIC = join(HERE, 'public');
const BIN = join(HERE, '../../packages/mha2mla/bin/mha2mla.js');
/** Of a head's 32: a quarter turned, and as much a KV head in the latent, as in examples/llava-1.5. */
const QUARTER = ['--rope-dim', '8', '--rank', '8'];

const { values, positionals } = parseArgs({
  options: { force: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const known = ['llava', 'llava_next', 'qwen2_5_vl'];
const names = positionals.length > 0 ? positionals : known;
for (const name of names) {
  if (!known.includes(name)) throw new RangeError(`${name} must be one of ${known.join(', ')}.`);
}
if (values.force) rmSync(PUBLIC, { recursive: true, force: true });
for (const name of known) {
  cpSync(join(MODELS, name), join(PUBLIC, 'models', name), { recursive: true });
}
const samples = ['006', '014', '018', '023', '026', '028'];
for (const number of samples) {
  const file = `test-${number}.png`;
  cpSync(join(MODELS, 'scenes/images', file), join(PUBLIC, 'samples', file));
}
for (const name of names) {
  const out = join(PUBLIC, 'models', `${name}-converted`);
  if (existsSync(join(out, 'config.json'))) continue;
  console.log(`Converting ${name}…`);
  const calibration = ['--calibration', join(MODELS, 'scenes/calibration.jsonl')];
  const args = ['convert', join(MODELS, name), out, ...QUARTER, ...calibration, '--resume'];
  await promisify(execFile)(process.execPath, [BIN, ...args]);
}
