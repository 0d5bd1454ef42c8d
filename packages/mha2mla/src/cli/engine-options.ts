/** Options of runs that are spread over threads or machines. */
import { availableParallelism } from 'node:os';
import { type Command, Option } from 'commander';
import type { EngineChoice } from '../node/engine/engine-session';
import { jobRuntime } from '../node/engine/job-runtime';
import type { Context } from './context';
import { UsageError } from './usage-error';

export interface EngineFlags {
  engine?: string;
  store?: string;
  models?: string;
  workers?: number;
}

export function addEngineOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--engine <url>',
        'who does the work, job by job: threads, or workers of the queue at redis://HOST:PORT',
      ).env('MHA2MLA_ENGINE'),
    )
    .addOption(
      new Option(
        '--store <place>',
        'what all workers can reach: a folder, or s3://BUCKET/PREFIX',
      ).env('MHA2MLA_STORE'),
    )
    .option('--models <folder>', 'folder that models lie in, if it is not the store');
}

/**
 * Who does the work, job by job; `undefined` where nobody was asked for, or the run works alone.
 * @param alone the option with which it does; `undefined` where jobs may do it.
 * @param hint what to do about it, if `--engine` was given.
 * @throws UsageError then; what the environment names is a default, and is left out aloud.
 */
export function engineOf(
  command: Command,
  { engine }: EngineFlags,
  { alone, hint }: { alone: string | undefined; hint: string },
  { terminal }: Pick<Context, 'terminal'>,
): string | undefined {
  if (engine === undefined || alone === undefined) return engine;
  if (command.getOptionValueSource('engine') !== 'env') {
    throw new UsageError(`${command.name()}: ${alone} works on one machine, got --engine. ${hint}`);
  }
  terminal.log(`MHA2MLA_ENGINE is not used: ${alone} works on one machine.`);
  return undefined;
}

/** @throws UsageError for an engine of other machines without a store. */
export function engineChoice(
  { engine, store, models, workers = availableParallelism() }: EngineFlags & { engine: string },
  backend: string,
): EngineChoice {
  if (store === undefined) {
    throw new UsageError(
      '--store PLACE is needed with --engine, got none. Give a folder that all workers can reach, or s3://BUCKET/PREFIX.',
    );
  }
  return { engine, store, models, workers, runtime: jobRuntime(backend) };
}
