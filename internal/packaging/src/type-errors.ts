import { dirname } from 'node:path';
import ts from 'typescript';

const parsed = new Map<string, ts.SourceFile | undefined>();

/** Type-checks a program of one file as `tsc --noEmit --strict` does in its folder. */
export function typeErrors(file: string, moduleResolution: 'node16' | 'bundler'): string[] {
  const options: ts.CompilerOptions = {
    noEmit: true,
    strict: true,
    skipLibCheck: true, // installed-packages.test.ts checks them
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2022.d.ts', 'lib.esnext.disposable.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    ...(moduleResolution === 'node16'
      ? { module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16 }
      : { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler }),
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile;
  // TypeScript's own libraries are the same for all programs, and most of the work.
  host.getSourceFile = (path, ...rest) => {
    if (!/\/typescript\/lib\//.test(path)) return read(path, ...rest);
    if (!parsed.has(path)) parsed.set(path, read(path, ...rest));
    return parsed.get(path);
  };
  host.getCurrentDirectory = () => dirname(file);
  const program = ts.createProgram([file], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText, file: where }) => {
    return `${where?.fileName ?? ''}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
}
