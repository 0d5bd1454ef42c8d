/**
 * A bench of cells, from its command line (`[--workers 2] [--backend auto] [--minutes 60]
 * [--only-summary]`) to its files. It goes on where a run was stopped: results of single cells are in
 * out/NAME, what they say in bench/results.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { drawAgainstBytes } from 'mha2mla/node';
import { CellStore } from './cell-store.js';
import { measureCells } from './measure-cells.js';

const RESULTS = fileURLToPath(new URL('../results', import.meta.url));

/**
 * @template Cell, Summary
 * @param {string} name of the folder, and with which files begin.
 * @param {{ cells: Cell[], summarise: (cells: Cell[], store: CellStore) => Promise<Summary & { rows: object[] }>,
 *   tablesOf: (summary: Summary) => string,
 *   plotsOf: (summary: Summary) => { name: string, series: object[], options: object }[] }} bench
 */
export async function runBench(name, { cells, summarise, tablesOf, plotsOf }) {
  const { values } = parseArgs({
    options: {
      backend: { type: 'string', default: 'auto' },
      workers: { type: 'string', default: '2' },
      minutes: { type: 'string' },
      'only-summary': { type: 'boolean', default: false },
    },
  });
  const store = await CellStore.open(fileURLToPath(new URL(`../../out/${name}`, import.meta.url)));
  const outcome = values['only-summary']
    ? { measured: 0, failures: [] }
    : await measureCells(cells, store, {
        backend: values.backend,
        workers: Number(values.workers),
        ...(values.minutes !== undefined && { minutes: Number(values.minutes) }),
        log: (line) => process.stderr.write(`${line}\n`),
      });
  const summary = await summarise(cells, store);
  const write = (file, text) => writeFile(join(RESULTS, file), text);
  const lines = summary.rows.map((row) => JSON.stringify(row));
  await write(`${name}.json`, `{\n"rows": [\n${lines.join(',\n')}\n]\n}\n`);
  await write(`${name}.md`, tablesOf(summary));
  for (const { name: plot, series, options } of plotsOf(summary)) {
    await write(`${name}-${plot}.svg`, await drawAgainstBytes(series, options));
  }
  console.log(JSON.stringify(outcome));
  process.exitCode = outcome.failures.length > 0 ? 1 : 0;
}
