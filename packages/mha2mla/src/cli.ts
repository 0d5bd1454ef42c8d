/** The process around the command line: signals, pipes, exit status. */
import { runCli } from './cli/run-cli';

// `mha2mla inspect MODEL | head` ends quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), process, (listener) => {
  let count = 0;
  const onInterrupt = () => {
    count++;
    if (count > 1) process.exit(130);
    listener();
  };
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onInterrupt);
  return () => {
    process.off('SIGINT', onInterrupt);
    process.off('SIGTERM', onInterrupt);
  };
});
// Backends may keep handles that would hold the process.
process.exit();
