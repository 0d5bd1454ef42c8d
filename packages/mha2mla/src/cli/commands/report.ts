import { lstat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { atomicWriteFile } from '@mha2mla/checkpoint/node';
import { loadRuns } from '../../node/report/load-runs';
import { reportPage } from '../../node/report/report-page';
import type { CommonFlags } from '../context';
import { printableLine } from '../printable';
import type { AddCommand } from '../program';
import { UsageError } from '../usage-error';

interface Flags extends CommonFlags {
  out: string;
}

/** `report RUN… --out FILE.html`: one page that is looked at. */
export const addReport: AddCommand = (program, contextOf) => {
  program
    .command('report <run...>')
    .description(
      'one page, complete in itself, of what runs left: what was kept and what it cost in words; accuracy, bytes, speed, spectra, errors, chosen pairs and loss as drawings.\nRUN is a folder of convert or heal, or a JSON file: a result of eval --json or bench --json, or plots of an ablation.',
    )
    .requiredOption('--out <file>', 'the page, FILE.html; a page that is there is replaced')
    .addHelpText('after', '\nExample:\n  mha2mla report CONVERTED eval.json --out report.html')
    .action(async (paths: string[], flags: Flags) => {
      const { result } = contextOf(flags);
      await assertPagePlace(flags.out);
      const runs = await loadRuns(paths);
      const page = await reportPage(runs);
      const { sizeBytes } = await atomicWriteFile(flags.out, page);
      const document = { file: flags.out, sizeBytes, runs: runs.map(({ name }) => name) };
      result(document, () => printableLine(flags.out));
    });
};

/** Before anything is read: a page may replace a page, and nothing else. */
async function assertPagePlace(path: string): Promise<void> {
  if (!/\.html?$/i.test(path)) {
    throw new UsageError(`report: --out must name an .html file, got ${JSON.stringify(path)}.`);
  }
  await lstat(dirname(path));
  const present = await lstat(path).catch(() => undefined);
  if (!present || present.isFile()) return;
  throw new UsageError(
    `report: --out must be a file or absent, got another thing at ${JSON.stringify(path)}.`,
  );
}
