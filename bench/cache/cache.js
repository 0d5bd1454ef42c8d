/** What a smaller form of the cache costs: `npm run cache`. See README.md. */
import { runBench } from '../ablation/run-bench.js';
import { cacheCells } from './cells.js';
import { plotsOf } from './plots.js';
import { summarise } from './summarise.js';
import { tablesOf } from './tables.js';

await runBench('cache', { cells: cacheCells(), summarise, tablesOf, plotsOf });
