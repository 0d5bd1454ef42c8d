/** What healing gives back on the small models: `npm run healing`. See README.md. */
import { runBench } from '../ablation/run-bench.js';
import { healingCells } from './cells.js';
import { plotsOf } from './plots.js';
import { summarise } from './summarise.js';
import { tablesOf } from './tables.js';

await runBench('healing', { cells: healingCells(), summarise, tablesOf, plotsOf });
