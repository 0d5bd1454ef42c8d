import { setTimeout as wait } from 'node:timers/promises';
import { type QueueStatus, type RunStatus, watchQueue } from '../../node/engine/queue-status';
import type { CommonFlags } from '../context';
import { addEngineOptions, type EngineFlags } from '../engine-options';
import { printableLine } from '../printable';
import type { AddCommand } from '../program';
import { duration } from '../quantities';
import { UsageError } from '../usage-error';

interface Flags extends EngineFlags, CommonFlags {
  watch?: boolean;
}

const LOOK_EVERY_MS = 2000;

/** `status --engine redis://…`: how far runs have come. */
export const addStatus: AddCommand = (program, contextOf, { stdout }) => {
  addEngineOptions(program.command('status'))
    .description('jobs of all runs on a queue: done, running, waiting, failed, by layer')
    .option('--watch', 'look again every two seconds, until interrupted')
    .addHelpText(
      'after',
      '\nExample:\n  mha2mla status --engine redis://queue.example:6379 --watch',
    )
    .action(async ({ engine: url, watch = false, ...flags }: Flags) => {
      const { result, signal, json } = contextOf(flags);
      if (url === undefined || url === 'threads') {
        throw new UsageError('status: --engine redis://HOST:PORT is needed, got no server.');
      }
      if (watch && json) throw new UsageError('status: --json is one look, got --watch.');
      const queue = await watchQueue(url);
      try {
        for (;;) {
          const status = await queue.look();
          // On a terminal each look takes the place of the one before.
          if (watch && stdout.isTTY) stdout.write('\u001b[H\u001b[2J');
          result(status, () => describe(status));
          if (!watch) return;
          await wait(LOOK_EVERY_MS, undefined, { signal });
        }
      } finally {
        await queue.close();
      }
    });
};

function describe({ engine, workers, runs, more }: QueueStatus): string {
  const by = new Map<string, number>();
  for (const { name } of workers) by.set(name, (by.get(name) ?? 0) + 1);
  return [
    `${engine}: ${workers.length} workers${workers.length > 0 ? ':' : ''}`,
    ...[...by].map(([name, count]) => `  ${count} of ${printableLine(name)}`),
    ...runs.flatMap(describeRun),
    ...(runs.length === 0 ? ['no jobs'] : []),
    ...(more ? ['There are more jobs than were looked at.'] : []),
  ].join('\n');
}

function describeRun(run: RunStatus): string[] {
  const left = run.secondsLeft === undefined ? '' : `, ${duration(run.secondsLeft)} left`;
  const rate = run.rate > 0 ? `, ${run.rate.toFixed(2)} a second${left}` : '';
  const counts = (own: Omit<RunStatus['layers'][number], 'layer'>) =>
    `${own.done} done, ${own.running} running, ${own.waiting} waiting, ${own.failed} failed`;
  return [
    `run ${printableLine(run.run.slice(0, 12))}: ${counts(run)} of ${run.total}${rate}`,
    ...run.layers.map(
      ({ layer, ...own }) => `  ${layer === '-' ? 'samples' : `layer ${layer}`}: ${counts(own)}`,
    ),
    ...run.failures.map((reason) => `  failed: ${printableLine(reason)}`),
  ];
}
