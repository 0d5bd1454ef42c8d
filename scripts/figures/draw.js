/**
 * Draw the figures of docs/method.md that show data: `npm run build && node scripts/figures/draw.js`.
 *
 * Pair maps and spectra are those of `mha2mla report` for two conversions of small models, made here;
 * bytes are those of the formats of `@mha2mla/kv-quant` at the shapes of published models. The other
 * figures in docs/figures show structure and are drawn by hand.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../examples/demo/run-command.js';
import { BYTES_ROWS, drawBytes } from './bytes.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Rotary + latent dims a KV head, as in README.md. */
const CONVERSIONS = { llava: ['4', '4'], qwen2_5_vl: ['8', '8'] };
/** Drawings of the report by their ids, and the files that they become. */
const DRAWINGS = [
  ['llava', 'run0-spectra-vision', 'spectra-vision'],
  ['llava', 'run0-spectra-text', 'spectra-text'],
  ['llava', 'run0-scores', 'scores-llava'],
  ['qwen2_5_vl', 'run0-pairs', 'pairs-qwen2_5_vl'],
];

const folder = mkdtempSync(join(tmpdir(), 'mha2mla-figures-'));
const log = (line) => process.stderr.write(`${line}\n`);
try {
  const pages = new Map();
  for (const [family, [ropeDim, rank]] of Object.entries(CONVERSIONS)) {
    const [out, page] = [join(folder, family), join(folder, `${family}.html`)];
    const calibration = join(ROOT, 'models/scenes/calibration.jsonl');
    const sizes = ['--rope-dim', ropeDim, '--rank', rank];
    const convert = ['convert', join(ROOT, 'models', family), out, ...sizes];
    await runCommand([...convert, '--calibration', calibration], { log, label: family });
    await runCommand(['report', out, '--out', page], { log, label: family });
    pages.set(family, readFileSync(page, 'utf8'));
  }
  for (const [family, id, name] of DRAWINGS) write(name, drawingOf(pages.get(family), id));
  write('bytes', withColors(drawBytes(), pages.get('llava')));
  for (const row of BYTES_ROWS) log(Object.values(row).join(' | '));
} finally {
  rmSync(folder, { recursive: true });
}

function write(name, svg) {
  writeFileSync(join(ROOT, `docs/figures/${name}.svg`), `${svg}\n`);
}

/** A drawing of a report as a file of its own. */
function drawingOf(page, id) {
  const svg = page
    .match(/<svg [\s\S]*?<\/svg>/g)
    .find((text) => text.includes(`aria-labelledby="${id}-title `));
  if (!svg) throw new Error(`draw: the report must hold the drawing ${id}, got none.`);
  return withColors(svg, page);
}

/** With the report's colours, light or dark as the reader has it, on a ground of its own. */
function withColors(svg, page) {
  const [, light] = /:root\{color-scheme:light dark;([^}]*)\}/.exec(page);
  const [, dark] = /prefers-color-scheme:dark\)\{:root\{([^}]*)\}/.exec(page);
  const used = (colors) =>
    colors
      .split(';')
      .filter((color) => color.startsWith('--card:') || svg.includes(`var(${color.split(':')[0]})`))
      .join(';');
  const style = `<style>:root{${used(light)}}@media (prefers-color-scheme:dark){:root{${used(dark)}}}</style>`;
  const ground = '<rect width="100%" height="100%" rx="8" fill="var(--card)"/>';
  const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg);
  return svg
    .replace('<svg ', `<svg width="${width}" height="${height}" `)
    .replace('</desc>', `</desc>${style}${ground}`);
}
