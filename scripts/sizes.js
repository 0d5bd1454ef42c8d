/**
 * Sizes of what a user downloads, as a table: `node scripts/sizes.js`, once all is built.
 *
 * Of each package the tarball, what it unpacks to, and its page entry by itself, minified; of a page,
 * all that it takes from npm but TensorFlow.js, so that a family that drags in another shows. Exits
 * with 1 when something is larger than scripts/size-limits.json, or the file that is named, allows
 * (bytes, with gzip); who means to grow it raises the limit in the same change.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { markdownTable } from 'markdown-table';

/** What pages import; the bundle must find no more than these need. */
const PAGES = {
  'LLaVA-1.5': "export { loadModel, llava } from '@mha2mla/vlm-adapters';",
  'LLaVA-NeXT': "export { loadModel, llavaNext } from '@mha2mla/vlm-adapters';",
  'Qwen2.5-VL': "export { loadModel, qwen25Vl } from '@mha2mla/vlm-adapters';",
  'all three': "export { loadModel, llava, llavaNext, qwen25Vl } from '@mha2mla/vlm-adapters';",
  'a model in a worker, the page': "export { connectModel } from '@mha2mla/vlm-adapters';",
  'safetensors by ranges': "export { httpStore, openCheckpoint } from '@mha2mla/checkpoint';",
};

const LIBRARIES = ['@tensorflow/*', '@huggingface/*'];

const limits = JSON.parse(
  readFileSync(process.argv[2] ?? new URL('size-limits.json', import.meta.url), 'utf8'),
);
const names = readdirSync('packages').map(
  (folder) => JSON.parse(readFileSync(`packages/${folder}/package.json`, 'utf8')).name,
);
const packed = Object.values(JSON.parse(pack()));
const measured = new Map();

const packages = [];
for (const name of names) {
  const { size, unpackedSize } = packed.find((one) => one.name === name);
  const others = names.filter((other) => other !== name);
  const entry = await bundled(`export * from '${name}';`, [...LIBRARIES, ...others]);
  measured.set(`${name}, packed`, size).set(name, entry.gzip);
  packages.push([`\`${name}\``, kb(size), kb(unpackedSize), kb(entry.minified), kb(entry.gzip)]);
}
const pages = [];
for (const [name, source] of Object.entries(PAGES)) {
  const { minified, gzip } = await bundled(source, ['@tensorflow/*']);
  measured.set(name, gzip);
  pages.push([name, kb(minified), kb(gzip)]);
}

const right = (columns) => ({ align: ['l', ...Array(columns).fill('r')] });
const columns = ['packed', 'unpacked', 'minified', 'with gzip'];
console.log(markdownTable([['package, kB', ...columns], ...packages], right(4)));
console.log();
console.log(markdownTable([['page, kB', ...columns.slice(2)], ...pages], right(2)));

for (const [name, size] of measured) {
  if (size <= limits[name]) continue;
  process.exitCode = 1;
  console.error(`sizes: ${name} must be at most ${limits[name]} bytes, got ${size}.`);
}

function kb(bytes) {
  return (bytes / 1000).toFixed(1);
}

function pack() {
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const workspaces = readdirSync('packages').map((folder) => `--workspace=packages/${folder}`);
  return execFileSync('npm', [...args, ...workspaces], { encoding: 'utf8' });
}

async function bundled(contents, external) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: '.' },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    external,
    logLevel: 'error',
  });
  const bytes = outputFiles[0].contents;
  return { minified: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length };
}
