/**
 * The main job: a small trained LLaVA-1.5 is converted to multi-head latent attention with an eighth
 * of its cache, healed, its latent cache quantized to 4 bits, and asked. Questions are asked after
 * each step. Every step is a command that you can run yourself; two run at a time.
 */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from './run-command.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MODEL = join(ROOT, 'models/llava');
const SCENES = join(ROOT, 'models/scenes');
const PICTURE = join(SCENES, 'images/test-000.png');
const QUESTION = 'list all the objects in order.';

/**
 * @param {{ log: (line: string) => void, write: (text: string) => void }} streams
 * @returns {Promise<{ step: string, accuracy: number, nll: number, cacheBytesPerToken: number }[]>}
 */
export async function runDemo({ log, write }) {
  mkdirSync(join(ROOT, 'out'), { recursive: true });
  const out = mkdtempSync(join(ROOT, 'out/llava-1.5-'));
  const [converted, healed] = [join(out, 'converted'), join(out, 'healed')];
  const data = (name) => join(SCENES, `${name}.jsonl`);

  const run = async (label, args) => {
    const shown = args.map((arg) => (arg.startsWith(ROOT) ? relative(ROOT, arg) : arg));
    log(`${label} | mha2mla ${shown.join(' ')}`);
    return JSON.parse(await runCommand([...args, '--json'], { log, label }));
  };
  const evaluate = async (step, model, ...options) => {
    const { accuracy, nll, cacheBytesPerToken } = await run(step, [
      'eval',
      model,
      data('test'),
      ...options,
    ]);
    return { step, accuracy, nll, cacheBytesPerToken };
  };

  const original = evaluate('original', MODEL);
  await run('convert', [
    'convert',
    MODEL,
    converted,
    '--rope-dim',
    '4',
    '--rank',
    '4',
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
    MODEL,
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
