/**
 * Run one command line: exit status 0 on success, 2 on a usage error, 1 on any other, 130 after an
 * interruption. A failure is one line on standard error, and under `--json` leaves standard output
 * empty.
 */
import { CommanderError } from 'commander';
import { commandLine } from './command-line';
import type { CommonFlags, Context } from './context';
import { failureLine } from './failure';
import { printable, printableLine } from './printable';
import { createProgram } from './program';
import { createTerminal, type Terminal } from './terminal';
import { UsageError } from './usage-error';

export interface CliStreams {
  stdout: NodeJS.WritableStream & { isTTY?: boolean };
  stderr: NodeJS.WritableStream & { isTTY?: boolean };
  stdin: NodeJS.ReadableStream;
}

class Interrupted extends Error {
  override readonly name = 'AbortError';
}

/**
 * @param argv arguments without node and script.
 * @param interrupts calls back on each interruption; returns a function that stops listening. After
 *   the second one the screen is as it was, and the process may leave.
 * @returns the exit status.
 */
export async function runCli(
  argv: readonly string[],
  streams: CliStreams,
  interrupts: (listener: () => void) => () => void = () => () => {},
): Promise<number> {
  const controller = new AbortController();
  const run: Run = { terminal: undefined, goesOn: false };
  const stop = interrupts(() => {
    if (controller.signal.aborted) run.terminal?.end();
    controller.abort(new Interrupted('interrupted'));
  });
  const contextOf = (flags: CommonFlags) => createContext(run, flags, streams, controller.signal);
  try {
    await createProgram(contextOf, streams).parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (error) {
    run.terminal?.end();
    if (!controller.signal.aborted) return report(error, streams);
    streams.stderr.write(`${printableLine(interruptionLine(argv, run))}\n`);
    return 130;
  } finally {
    stop();
  }
}

/** What a command tells of itself while it runs. */
interface Run {
  terminal: Terminal | undefined;
  /** Whether `--resume` goes on with it. */
  goesOn: boolean;
}

function createContext(
  run: Run,
  { json = false, quiet = false }: CommonFlags,
  streams: CliStreams,
  signal: AbortSignal,
): Context {
  const terminal = createTerminal({ ...streams, quiet });
  run.terminal = terminal;
  return {
    terminal,
    signal,
    json,
    result(document, human) {
      terminal.end();
      const text = json ? JSON.stringify(document, null, 2) : printable(human());
      streams.stdout.write(`${text}\n`);
    },
    resumable() {
      run.goesOn = true;
    },
  };
}

function interruptionLine(argv: readonly string[], { goesOn }: Run): string {
  if (!goesOn) return `interrupted; start again with: ${commandLine(argv)}`;
  const words = argv.includes('--resume') ? argv : [...argv, '--resume'];
  return `interrupted; go on with: ${commandLine(words)}`;
}

function report(error: unknown, { stderr }: CliStreams): number {
  if (error instanceof CommanderError) {
    // Commander has said it already; help is no failure.
    return error.exitCode === 0 ? 0 : 2;
  }
  stderr.write(`${failureLine(error)}\n`);
  return error instanceof UsageError ? 2 : 1;
}
