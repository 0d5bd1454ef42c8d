/** `npm run demo -- --family llava|llava_next|qwen2_5_vl`: see run-demo.js. */
import { parseArgs } from 'node:util';
import { markdownTable } from 'markdown-table';
import { runDemo } from './run-demo.js';

const { values } = parseArgs({ options: { family: { type: 'string', default: 'llava' } } });
const started = performance.now();
const rows = await runDemo(values.family, {
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
