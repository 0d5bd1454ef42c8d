/** A Markdown document as GitHub renders it: where one can jump to, what it links, its code. */
import GithubSlugger from 'github-slugger';
import { marked, type Token } from 'marked';

export interface Document {
  /** What may follow a `#` in a link to it. */
  anchors: ReadonlySet<string>;
  /** Addresses of links and pictures, those of HTML too. */
  links: readonly string[];
  /** Fenced blocks. */
  blocks: readonly { lang: string; text: string }[];
  /** Code within a line. */
  codes: readonly string[];
}

export function parseDocument(markdown: string): Document {
  const slugger = new GithubSlugger();
  const [anchors, links, codes] = [new Set<string>(), [] as string[], [] as string[]];
  const blocks: { lang: string; text: string }[] = [];
  marked.walkTokens(marked.lexer(markdown), (token: Token) => {
    if (token.type === 'heading') anchors.add(slugger.slug(textOf(token.tokens ?? [])));
    if (token.type === 'link' || token.type === 'image') links.push(token.href);
    if (token.type === 'code') blocks.push({ lang: token.lang ?? '', text: token.text });
    if (token.type === 'codespan') codes.push(token.text);
    if (token.type !== 'html') return;
    for (const [, name, value] of token.text.matchAll(/\b(id|name|href|src|srcset)="([^"]*)"/g)) {
      if (name === 'id' || name === 'name') anchors.add(value);
      else links.push(value);
    }
  });
  return { anchors, links, blocks, codes };
}

/** What a reader sees of a heading. */
function textOf(tokens: readonly Token[]): string {
  return tokens
    .map((token) => ('tokens' in token && token.tokens ? textOf(token.tokens) : textOrNone(token)))
    .join('');
}

const textOrNone = (token: Token) => ('text' in token && token.type !== 'html' ? token.text : '');
