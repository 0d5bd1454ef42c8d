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
  let terminal: Terminal | undefined;
  let again = 'start again with';
  let words = argv;
  const stop = interrupts(() => {
    if (controller.signal.aborted) terminal?.end();
    controller.abort(new Interrupted('interrupted'));
  });
  const contextOf = ({ json = false, quiet = false }: CommonFlags): Context => {
    const own = createTerminal({ ...streams, quiet });
    terminal = own;
    return {
      terminal: own,
      signal: controller.signal,
      json,
      result(document, human) {
        own.end();
        const text = json ? JSON.stringify(document, null, 2) : printable(human());
        streams.stdout.write(`${text}\n`);
      },
      resumable() {
        again = 'go on with';
        words = argv.includes('--resume') ? argv : [...argv, '--resume'];
      },
    };
  };
  try {
    await createProgram(contextOf, streams).parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (error) {
    terminal?.end();
    if (controller.signal.aborted) {
      const line = `interrupted; ${again}: ${commandLine(words)}`;
      streams.stderr.write(`${printableLine(line)}\n`);
      return 130;
    }
    return report(error, streams);
  } finally {
    stop();
  }
}

function report(error: unknown, { stderr }: CliStreams): number {
  if (error instanceof CommanderError) {
    // Commander has said it already; help is no failure.
    return error.exitCode === 0 ? 0 : 2;
  }
  stderr.write(`${failureLine(error)}\n`);
  return error instanceof UsageError ? 2 : 1;
}
