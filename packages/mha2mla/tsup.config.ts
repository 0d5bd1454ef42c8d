import { defineConfig } from 'tsup';
import { base } from '../../tsup.base';

export default defineConfig({
  ...base,
  entry: {
    index: 'src/index.ts',
    node: 'src/node.ts',
    cli: 'src/cli.ts',
    // A thread's script, beside what starts it.
    'heal-worker': 'src/node/heal-worker.ts',
  },
});
