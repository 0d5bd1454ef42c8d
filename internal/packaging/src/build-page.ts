import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'vite';
import webpack, { type Stats } from 'webpack';

/** Builds a project's `index.html` into its folder `vite`, by Vite as it comes. */
export async function buildByVite(project: string): Promise<void> {
  await build({
    root: project,
    base: './',
    configFile: false,
    logLevel: 'error',
    build: { outDir: 'vite', reportCompressedSize: false },
  });
}

/** Builds a project's `page.js` into its folder `webpack`, by webpack as it comes. */
export async function buildByWebpack(project: string): Promise<void> {
  const compiler = webpack({
    mode: 'production',
    context: project,
    entry: './page.js',
    output: { path: join(project, 'webpack') },
    optimization: { minimize: false }, // slow, and no matter of ours
    performance: { hints: false },
  });
  const stats = await new Promise<Stats>((resolve, reject) => {
    compiler.run((error, found) => (found ? resolve(found) : reject(error)));
  });
  await new Promise((resolve) => compiler.close(resolve));
  const { errors = [], warnings = [] } = stats.toJson({ all: false, errors: true, warnings: true });
  const [problem] = [...errors, ...warnings];
  if (problem) throw new Error(`webpack must build without a word, got ${problem.message}`);
  const html = '<!doctype html><script defer src="main.js"></script>';
  writeFileSync(join(project, 'webpack/index.html'), html);
}
