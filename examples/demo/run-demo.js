/**
 * The main job: a small trained model is converted to multi-head latent attention with a fraction of
 * its cache, healed, its latent cache quantized to 4 bits, and asked. Questions are asked after each
 * step. Every step is a command that you can run yourself; two run at a time.
 */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from './run-command.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/**
 * Dims a head that stay rotary, and latent dims a KV head: an eighth of the cache of LLaVA-1.5 with
 * its 6 KV heads, a quarter of the others', whose 2 KV heads leave less to spare.
 */
const SIZES = {
  llava: ['4', '4'],
  llava_next: ['8', '8'],
  qwen2_5_vl: ['8', '8'],
};
const SCENES = join(ROOT, 'models/scenes');
const PICTURE = join(SCENES, 'images/test-000.png');
const QUESTION = 'list all the objects in order.';

/**
 * @param {string} family
 * @param {{ log: (line: string) => void, write: (text: string) => void }} streams
 * @returns {Promise<{ step: string, accuracy: number, nll: number, cacheBytesPerToken: number }[]>}
 */
export async function runDemo(family, { log, write }) {
  const [ropeDim, rank] = SIZES[family] ?? [];
  if (ropeDim === undefined) {
    throw new RangeError(
      `runDemo: family must be one of ${Object.keys(SIZES).join(', ')}, got ${family}.`,
    );
  }
  const model = join(ROOT, 'models', family);
  mkdirSync(join(ROOT, 'out'), { recursive: true });
  const out = mkdtempSync(join(ROOT, `out/${family}-`));
  const [converted, healed] = [join(out, 'converted'), join(out, 'healed')];
  const data = (name) => join(SCENES, `${name}.jsonl`);

  const run = async (label, args) => {
    const shown = args.map((arg) => (arg.startsWith(ROOT) ? relative(ROOT, arg) : arg));
    log(`${label} | mha2mla ${shown.join(' ')}`);
    return JSON.parse(await runCommand([...args, '--json'], { log, label }));
  };
  const evaluate = async (step, folder, ...options) => {
    const { accuracy, nll, cacheBytesPerToken } = await run(step, [
      'eval',
      folder,
      data('test'),
      ...options,
    ]);
    return { step, accuracy, nll, cacheBytesPerToken };
  };

  const original = evaluate('original', model);
  await run('convert', [
    'convert',
    model,
    converted,
    '--rope-dim',
    ropeDim,
    '--rank',
    rank,
    '--calibration',
    data('calibration'),
  ]);
  const heal = run('heal', [
    'heal',
    converted,
    healed,
    '--data',
    data('heal'),
    '--teacher',
    model,
    '--workers',
    '2',
  ]);
  const beforeHealing = original.then(() => evaluate('converted', converted));
  await Promise.all([heal, beforeHealing]);
  const rows = await Promise.all([
    original,
    beforeHealing,
    evaluate('healed', healed),
    evaluate('healed, 4-bit cache', healed, '--kv-bits', '4'),
  ]);

  log(`answer | ${relative(ROOT, PICTURE)}: ${QUESTION}`);
  await runCommand(
    ['generate', healed, '--kv-bits', '4', '--image', PICTURE, '--prompt', QUESTION, '--stats'],
    { log, label: 'answer', onText: write },
  );
  log(`models | ${relative(ROOT, out)}`);
  return rows;
}
