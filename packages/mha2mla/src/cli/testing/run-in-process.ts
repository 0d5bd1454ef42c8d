import { Readable } from 'node:stream';
import { runCli } from '../run-cli';
import { FakeStream } from './fake-stream';

export interface CliRun {
  status: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** Both streams are a terminal. */
  isTTY?: boolean;
  /** What standard input holds; `undefined` never ends. */
  stdin?: string;
  /** Called at the start, with what interrupts, once. */
  onStart?: (interrupt: () => void) => void;
  /** Called after each write, to look at what has come and perhaps to interrupt. */
  onText?: (run: { stdout: string; stderr: string; interrupt: () => void }) => void;
}

/** Run a command line in this process, on streams that keep what is written. */
export async function runInProcess(
  argv: readonly string[],
  { isTTY = false, stdin, onStart, onText }: RunOptions = {},
): Promise<CliRun> {
  let interrupt = () => {};
  const look = () => onText?.({ stdout: stdout.text, stderr: stderr.text, interrupt });
  const stdout: FakeStream = new FakeStream({ isTTY, onText: look });
  const stderr: FakeStream = new FakeStream({ isTTY, onText: look });
  const input = stdin === undefined ? new Readable({ read() {} }) : Readable.from([stdin]);
  const status = await runCli(argv, { stdout, stderr, stdin: input }, (listener) => {
    let count = 0;
    interrupt = () => {
      if (count++ === 0) listener();
    };
    onStart?.(interrupt);
    return () => {
      interrupt = () => {};
    };
  });
  return { status, stdout: stdout.text, stderr: stderr.text };
}
