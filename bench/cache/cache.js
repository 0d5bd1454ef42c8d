/**
 * What a smaller form of the cache costs: `npm run cache -- [--workers 2] [--backend auto]
 * [--minutes 60] [--only-summary]`. Goes on where a run was stopped; results of single cells are in
 * out/cache, healed models in out/healed, what they say in bench/results. See README.md.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { drawAgainstBytes } from 'mha2mla/node';
import { CellStore } from '../ablation/cell-store.js';
import { measureCells } from '../ablation/measure-cells.js';
import { cacheCells } from './cells.js';
import { plotsOf } from './plots.js';
import { summarise } from './summarise.js';
import { tablesOf } from './tables.js';

const RESULTS = fileURLToPath(new URL('../results', import.meta.url));
const CELLS = fileURLToPath(new URL('../../out/cache', import.meta.url));

const { values } = parseArgs({
  options: {
    backend: { type: 'string', default: 'auto' },
    workers: { type: 'string', default: '2' },
    minutes: { type: 'string' },
    'only-summary': { type: 'boolean', default: false },
  },
});

const cells = cacheCells();
const store = await CellStore.open(CELLS);
const outcome = values['only-summary']
  ? { measured: 0, failures: [] }
  : await measureCells(cells, store, {
      backend: values.backend,
      workers: Number(values.workers),
      ...(values.minutes !== undefined && { minutes: Number(values.minutes) }),
      log: (line) => process.stderr.write(`${line}\n`),
    });
const rows = await summarise(cells, store);
const write = (name, text) => writeFile(join(RESULTS, name), text);
await write(
  'cache.json',
  `{\n"rows": [\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n}\n`,
);
await write('cache.md', tablesOf(rows));
for (const { name, series, options } of plotsOf(rows)) {
  await write(`cache-${name}.svg`, await drawAgainstBytes(series, options));
}
console.log(JSON.stringify(outcome));
process.exitCode = outcome.failures.length > 0 ? 1 : 0;
