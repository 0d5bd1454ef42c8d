import { defineConfig } from 'tsup';
import { base } from '../../tsup.base';

export default defineConfig({
  ...base,
  entry: {
    index: 'src/index.ts',
    node: 'src/node.ts',
    cli: 'src/cli.ts',
    // Scripts of threads, beside what starts them.
    'factor-worker': 'src/node/factor-worker.ts',
    'heal-worker': 'src/node/heal-worker.ts',
    'job-thread': 'src/node/engine/job-thread.ts',
  },
});
