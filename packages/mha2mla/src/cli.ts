/** The process around the command line: signals, pipes, exit status. */
import { runCli } from './cli/run-cli';

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `mha2mla inspect MODEL | head` ends quietly.
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`mha2mla: results could not be written, got ${error.message}.\n`);
  process.exit(1);
});
// Progress that nobody reads is no reason to stop.
process.stderr.on('error', () => {});

process.exitCode = await runCli(process.argv.slice(2), process, (listener) => {
  let count = 0;
  const onInterrupt = () => {
    listener();
    if (++count > 1) process.exit(130);
  };
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onInterrupt);
  return () => {
    process.off('SIGINT', onInterrupt);
    process.off('SIGTERM', onInterrupt);
  };
});
// Backends may keep handles that would hold the process; what is written goes out first.
process.stdout.write('', () => process.exit());
