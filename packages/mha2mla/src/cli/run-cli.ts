/**
 * Run one command line: exit status 0 on success, 2 on a usage error, 1 on any other, 130 after an
 * interruption. A failure is one line on standard error, and under `--json` leaves standard output
 * empty.
 */
import { CommanderError } from 'commander';
import type { CommonFlags, Context } from './context';
import { printable } from './printable';
import { createProgram } from './program';
import { createTerminal } from './terminal';
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
 * @param interrupts calls back on each interruption; returns a function that stops listening.
 * @returns the exit status.
 */
export async function runCli(
  argv: readonly string[],
  streams: CliStreams,
  interrupts: (listener: () => void) => () => void = () => () => {},
): Promise<number> {
  const controller = new AbortController();
  const stop = interrupts(() => controller.abort(new Interrupted('interrupted')));
  let resumeLine: string | undefined;
  const contextOf = ({ json = false, quiet = false }: CommonFlags): Context => {
    const terminal = createTerminal({ ...streams, quiet });
    return {
      terminal,
      signal: controller.signal,
      json,
      result(document, human) {
        terminal.end();
        streams.stdout.write(json ? `${JSON.stringify(document, null, 2)}\n` : `${human()}\n`);
      },
      resumeLine(line) {
        resumeLine = line;
      },
    };
  };
  try {
    await createProgram(contextOf, streams).parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (error) {
    if (controller.signal.aborted) {
      streams.stderr.write(`interrupted${resumeLine ? `; go on with: ${resumeLine}` : ''}\n`);
      return 130;
    }
    return report(error, streams);
  } finally {
    stop();
  }
}

function report(error: unknown, { stderr }: CliStreams): number {
  if (error instanceof CommanderError) {
    // Commander has said it already; help and version are no failures.
    return error.exitCode === 0 ? 0 : 2;
  }
  const message = error instanceof Error ? error.message : String(error);
  stderr.write(`mha2mla: ${printable(message).replaceAll('\n', ' ')}\n`);
  return error instanceof UsageError ? 2 : 1;
}
