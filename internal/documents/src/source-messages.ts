/** Texts of the published sources: string and template literals, joined where they are added. */
import ts from 'typescript';
import { readRepositoryFile, repositoryFiles } from './repository';

/** Stands for what is only known when the code runs. */
const OPEN = '…';

/** @returns all texts of the packages' sources, with `…` in place of what is put in. */
export function sourceMessages(): string[] {
  const files = repositoryFiles('.ts', 'packages').filter(
    (path) => path.includes('/src/') && !/\.(test|bench)\.ts$|\/testing\//.test(path),
  );
  return files.flatMap((path) => textsOf(path, readRepositoryFile(path)));
}

export function textsOf(path: string, source: string): string[] {
  const texts: string[] = [];
  const visit = (node: ts.Node): void => {
    if (isText(node)) texts.push(textOf(node));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, source, ts.ScriptTarget.Latest));
  return texts;
}

const isSum = (node: ts.Node): node is ts.BinaryExpression =>
  ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken;

const isText = (node: ts.Node) =>
  ts.isStringLiteralLike(node) || ts.isTemplateExpression(node) || isSum(node);

function textOf(node: ts.Node): string {
  if (ts.isStringLiteralLike(node)) return node.text;
  if (isSum(node)) return textOf(node.left) + textOf(node.right);
  if (!ts.isTemplateExpression(node)) return OPEN;
  return node.head.text + node.templateSpans.map(({ literal }) => OPEN + literal.text).join('');
}
