import { fixture } from '@mha2mla/testing';
import { build, type Plugin } from 'esbuild';
import { expect, test } from 'vitest';

const sources: Plugin = {
  name: 'sources',
  setup({ onResolve }) {
    onResolve({ filter: /^@mha2mla\// }, ({ path }) => ({
      path: fixture(`packages/${path.split('/')[1]}/src/index.ts`),
    }));
    onResolve({ filter: /^@(tensorflow|huggingface)\// }, () => ({ external: true }));
  },
};

/** The files of ours that a page's bundler takes for these names. */
async function filesFor(names: string): Promise<string[]> {
  const { metafile } = await build({
    stdin: {
      contents: `export { ${names} } from '@mha2mla/vlm-adapters';`,
      resolveDir: fixture('packages'),
    },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    write: false,
    metafile: true,
    plugins: [sources],
    logLevel: 'silent',
  });
  const [output] = Object.values(metafile.outputs);
  return Object.entries(output!.inputs)
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([path]) => path);
}

test('a page gets the families that it names, and none of what Node needs', async () => {
  const page = await filesFor('loadModel, llava');
  expect(page.some((path) => path.includes('/llava/'))).toBe(true);
  expect(page.filter((path) => /qwen|llava-next|\/node\//.test(path))).toEqual([]);
});

test('a page that has a worker gets neither decoder nor families', async () => {
  const page = await filesFor('connectModel, chatCompletions');
  expect(page.filter((path) => !path.includes('vlm-adapters/src/'))).toEqual([]);
  expect(page.length).toBeLessThan(10);
});
