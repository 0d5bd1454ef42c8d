import { type ChildProcess, spawn } from 'node:child_process';

export interface Running {
  child: ChildProcess;
  stdout: string;
  stderr: string;
  /** The exit status; a signal's name where it was killed. */
  ended: Promise<number | string | null>;
}

/** Start a process, and keep what it says. */
export function startProcess(
  command: string,
  argv: readonly string[],
  env: Record<string, string> = {},
): Running {
  const child = spawn(command, argv, { env: { ...process.env, ...env } });
  const running: Running = {
    child,
    stdout: '',
    stderr: '',
    ended: new Promise((resolve) => {
      child.on('close', (code, signal) => resolve(code ?? signal));
    }),
  };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    running.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    running.stderr += text;
  });
  return running;
}
