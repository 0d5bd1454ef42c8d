/**
 * What each choice of a conversion is worth, measured on the small models before any healing:
 * `npm run ablation -- [--minutes 60] [--workers 2] [--backend auto] [--smoke]`. Goes on where a run
 * was stopped; results of single cells are in out/ablation, what they say in bench/results.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { drawAgainstBytes } from 'mha2mla/node';
import { CellStore } from './cell-store.js';
import { ablationCells, smokeCells } from './cells.js';
import { checkLaws } from './laws.js';
import { measureCells } from './measure-cells.js';
import { plotsOf } from './plots.js';
import { summarise } from './summarise.js';
import { tablesOf } from './tables.js';

const RESULTS = fileURLToPath(new URL('../results', import.meta.url));
const CELLS = fileURLToPath(new URL('../../out/ablation', import.meta.url));
const FAMILIES = ['llava', 'llava_next', 'qwen2_5_vl'];

const { values } = parseArgs({
  options: {
    backend: { type: 'string', default: 'auto' },
    workers: { type: 'string', default: '2' },
    minutes: { type: 'string' },
    family: { type: 'string', multiple: true, default: FAMILIES },
    smoke: { type: 'boolean', default: false },
    'only-summary': { type: 'boolean', default: false },
  },
});
const options = {
  backend: values.backend,
  workers: Number(values.workers),
  ...(values.minutes !== undefined && { minutes: Number(values.minutes) }),
  log: (line) => process.stderr.write(`${line}\n`),
};
process.exitCode = values.smoke ? await runSmoke() : await runAblation();

async function runAblation() {
  const originals = values.family.map((family) => ({ family, table: 'original', row: 'original' }));
  const cells = [...originals, ...ablationCells(values.family)];
  const store = await CellStore.open(CELLS);
  const outcome = values['only-summary']
    ? { measured: 0, failures: [] }
    : await measureCells(cells, store, options);
  const summary = await summarise(cells, store);
  const plots = plotsOf(summary);
  await writeFile(join(RESULTS, 'ablation.json'), linesOf({ ...summary, plots }));
  await writeFile(join(RESULTS, 'ablation.md'), tablesOf(summary));
  for (const { name, title, series, ...rest } of plots) {
    const svg = await drawAgainstBytes(series, { title, ...rest });
    await writeFile(join(RESULTS, `ablation-${name}.svg`), svg);
  }
  console.log(JSON.stringify(outcome));
  return outcome.failures.length > 0 ? 1 : 0;
}

/** Lists as JSON, an entry a line, so that a change shows as one. */
function linesOf(lists) {
  const entries = Object.entries(lists).map(([name, list]) => {
    const lines = list.map((entry) => JSON.stringify(entry));
    return `${JSON.stringify(name)}: [\n${lines.join(',\n')}\n]`;
  });
  return `{\n${entries.join(',\n')}\n}\n`;
}

/** A few cells on a few pictures, twice: laws hold, and the second time nothing is left to do. */
async function runSmoke() {
  const pictures = 3;
  const folder = await mkdtemp(join(tmpdir(), 'mha2mla-ablation-'));
  try {
    const store = await CellStore.open(folder, pictures);
    const cells = [{ family: 'llava', table: 'original', row: 'original' }, ...smokeCells()];
    const first = await measureCells(cells, store, { ...options, pictures, workers: 1 });
    const second = await measureCells(cells, store, { ...options, pictures, workers: 1 });
    const results = await Promise.all(cells.map((cell) => store.read(cell)));
    const named = new Map(cells.map(({ row }, i) => [row, results[i]]));
    const laws = { ...checkLaws(named), resumed: first.left === 0 && second.measured === 0 };
    console.log(JSON.stringify({ laws, failures: first.failures }));
    return Object.values(laws).every(Boolean) ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true });
  }
}
