import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/**
 * Start an arm of a bench: a process that writes a line once it is ready, and then a line of JSON for
 * each that it reads. Arms are asked by turns, so that what else the machine does falls on all.
 * @param threads what native libraries may use.
 * @returns the process, which the caller ends, and `ask`.
 */
export async function startAsked(name, command, argv, threads) {
  const env = { TF_NUM_INTRAOP_THREADS: threads, OMP_NUM_THREADS: threads };
  const child = spawn(command, argv, {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = once(child, 'exit').then(() => ({ done: true }));
  const next = async () => {
    const { done, value } = await Promise.race([lines.next(), ended]);
    if (done) throw new Error(`startAsked: ${name} must answer, got its end.`);
    return value;
  };
  await next();
  return {
    child,
    ask: async (request) => {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      return JSON.parse(await next());
    },
  };
}
