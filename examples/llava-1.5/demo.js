/** `npm run demo`: see run-demo.js. */
import { markdownTable } from 'markdown-table';
import { runDemo } from './run-demo.js';

const started = performance.now();
const rows = await runDemo({
  log: (line) => process.stderr.write(`${line}\n`),
  write: (text) => process.stdout.write(text),
});
const percent = (share) => `${(100 * share).toFixed(1)} %`;
console.log(
  `\n${markdownTable(
    [
      ['', 'accuracy', 'negative log-likelihood', 'cache bytes a token'],
      ...rows.map(({ step, accuracy, nll, cacheBytesPerToken }) => [
        step,
        percent(accuracy),
        nll.toFixed(3),
        `${cacheBytesPerToken} (${percent(cacheBytesPerToken / rows[0].cacheBytesPerToken)})`,
      ]),
    ],
    { align: ['l', 'r', 'r', 'r'] },
  )}`,
);
console.log(`\n${((performance.now() - started) / 1000).toFixed(0)} seconds`);
