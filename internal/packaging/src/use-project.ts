import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { loneProject } from './lone-project';
import { repository } from './repository';

const SCRIPT = `import { use } from './use.js';
console.log(JSON.stringify(await use(process.argv[2])));
`;

const PAGE = `import { use } from './use.js';
globalThis.use = use;
`;

/** The files of its wasm are all that TensorFlow.js must be told of in a page. */
const WASM_PAGE = `import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
setWasmPaths({
  'tfjs-backend-wasm.wasm': new URL(
    '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm.wasm',
    import.meta.url,
  ).href,
  'tfjs-backend-wasm-simd.wasm': new URL(
    '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-simd.wasm',
    import.meta.url,
  ).href,
  'tfjs-backend-wasm-threaded-simd.wasm': new URL(
    '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-threaded-simd.wasm',
    import.meta.url,
  ).href,
});
${PAGE}`;

/** Makes a project of the package and what src/uses has for it: a script, a page, and TypeScript. */
export function useProject(installed: string, folder: string, name: string): void {
  const source = readFileSync(join(repository, `internal/packaging/src/uses/${name}.ts`), 'utf8');
  const imported = ts.preProcessFile(source).importedFiles.map(({ fileName }) => fileName);
  loneProject(installed, folder, imported);
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  const onWasm = imported.includes('@tensorflow/tfjs-backend-wasm');
  const files = {
    'use.ts': source,
    'use.js': ts.transpileModule(source, { compilerOptions }).outputText,
    'script.js': SCRIPT,
    'page.js': onWasm ? WASM_PAGE : PAGE,
    'index.html': '<!doctype html><script type="module" src="./page.js"></script>',
  };
  for (const [path, text] of Object.entries(files)) writeFileSync(join(folder, path), text);
}
