import { defineConfig } from 'tsup';
import { base } from '../../tsup.base';
import { version } from './package.json';

export default defineConfig({
  ...base,
  define: { 'process.env.MHA2MLA_VERSION': JSON.stringify(version) },
  dts: { entry: { index: 'src/index.ts', node: 'src/node.ts' } },
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
