/**
 * What healing gives back on the small models: `npm run healing -- [--workers 2] [--backend auto]
 * [--minutes 60] [--only-summary]`. Goes on where a run was stopped; results of single cells are in
 * out/healing, what they say in bench/results. See README.md.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { drawAgainstBytes } from 'mha2mla/node';
import { CellStore } from '../ablation/cell-store.js';
import { measureCells } from '../ablation/measure-cells.js';
import { healingCells } from './cells.js';
import { samplesPlot, sizesPlot } from './plots.js';
import { summarise } from './summarise.js';
import { tablesOf } from './tables.js';

const RESULTS = fileURLToPath(new URL('../results', import.meta.url));
const CELLS = fileURLToPath(new URL('../../out/healing', import.meta.url));

const { values } = parseArgs({
  options: {
    backend: { type: 'string', default: 'auto' },
    workers: { type: 'string', default: '2' },
    minutes: { type: 'string' },
    'only-summary': { type: 'boolean', default: false },
  },
});

const cells = healingCells();
const store = await CellStore.open(CELLS);
const outcome = values['only-summary']
  ? { measured: 0, failures: [] }
  : await measureCells(cells, store, {
      backend: values.backend,
      workers: Number(values.workers),
      ...(values.minutes !== undefined && { minutes: Number(values.minutes) }),
      log: (line) => process.stderr.write(`${line}\n`),
    });
const summary = await summarise(cells, store);
const write = (name, text) => writeFile(join(RESULTS, name), text);
const lines = summary.rows.map((row) => JSON.stringify(row));
await write('healing.json', `{\n"rows": [\n${lines.join(',\n')}\n]\n}\n`);
await write('healing.md', tablesOf(summary));
for (const { name, series, options } of [sizesPlot(summary), samplesPlot(summary)]) {
  if (series.length > 0)
    await write(`healing-${name}.svg`, await drawAgainstBytes(series, options));
}
console.log(JSON.stringify(outcome));
process.exitCode = outcome.failures.length > 0 ? 1 : 0;
