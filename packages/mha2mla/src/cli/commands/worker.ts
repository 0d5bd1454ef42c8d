import { availableParallelism } from 'node:os';
import { withScratch } from '../../node/engine/engine-session';
import { openStore } from '../../node/engine/open-store';
import { queueWorker } from '../../node/engine/queue-worker';
import { redisPlace } from '../../node/engine/redis-place';
import { threadEngine } from '../../node/engine/thread-engine';
import { useBackend } from '../../node/register-backends';
import type { CommonFlags } from '../context';
import { addEngineOptions, type EngineFlags, engineChoice } from '../engine-options';
import { integer } from '../option-values';
import type { AddCommand } from '../program';
import { addRunOptions, type RunFlags } from '../shared-options';
import { UsageError } from '../usage-error';

interface Flags extends RunFlags, EngineFlags, CommonFlags {
  lease: number;
}

/** `worker --engine redis://… --store PLACE`: do jobs of runs on other machines. */
export const addWorker: AddCommand = (program, contextOf) => {
  addEngineOptions(addRunOptions(program.command('worker')))
    .description('do the jobs of runs that others have started with --engine, until interrupted')
    .option(
      '--workers <n>',
      'jobs at once, each in a thread (default one a core)',
      integer(1),
      availableParallelism(),
    )
    .option(
      '--lease <s>',
      'seconds after which a job goes to another worker, if this one gives no sign of life',
      integer(1),
      30,
    )
    .addHelpText(
      'after',
      '\nExample:\n  mha2mla worker --engine redis://queue.example:6379 --store /shared\n\nUser and password of the server may stand in the environment, as MHA2MLA_ENGINE.',
    )
    .action(async ({ engine: url, workers = 1, ...flags }: Flags) => {
      const { terminal, signal } = contextOf(flags);
      if (url === undefined || url === 'threads') {
        throw new UsageError('worker: --engine redis://HOST:PORT is needed, got no server.');
      }
      const place = redisPlace(url);
      const backend = await useBackend(flags.backend);
      const { store, models, runtime } = engineChoice({ ...flags, engine: url }, backend);
      await withScratch(async (scratch) => {
        const at = { place: store, scratch, models };
        const { name } = await openStore(at);
        const engine = threadEngine({ threads: workers, store: at, runtime });
        terminal.log(
          `worker: jobs of ${place.name} over ${name}, ${workers} at once, by ${runtime.version} on ${backend}`,
        );
        await queueWorker({
          ...{ url, runtime, engine, concurrency: workers, signal, lockMs: flags.lease * 1000 },
          onJob({ job, state, reason }) {
            if (!flags.quiet) terminal.log(`${job}: ${state}${reason ? `, ${reason}` : ''}`);
          },
        });
      });
      signal.throwIfAborted();
    });
};
