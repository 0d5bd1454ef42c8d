/**
 * Render a conversation and find which special spellings in the text came from its messages.
 * The first and last characters of special tokens are replaced in the messages by private-use
 * characters before a second rendering; where those stand in the output, no token may begin or end.
 */
import { quoteName } from '@mha2mla/checkpoint';
import type { LiteralSpan } from './encode-literal';
import type { MessagePart } from './message-parts';

interface PartsMessage {
  role: string;
  content: MessagePart[];
}

/** Start and end of the private-use area. */
const PRIVATE = [0xe000, 0xf8ff] as const;

/**
 * @param render from messages to text
 * @param special spellings of special tokens
 * @throws RangeError when a message holds a special spelling and the template acts on it
 */
export function renderLiteral(
  render: (messages: PartsMessage[]) => string,
  messages: PartsMessage[],
  special: readonly string[],
): { text: string; literal: LiteralSpan[] } {
  const text = render(messages);
  const said = messages.flatMap(({ content }) =>
    content.flatMap((part) => (part.type === 'text' ? [part.text] : [])),
  );
  const edges = new Set(special.flatMap((token) => [token[0]!, token.at(-1)!]));
  const found = [...edges].filter((edge) => said.some((part) => part.includes(edge)));
  if (found.length === 0) return { text, literal: [] };

  const marks = unusedCharacters(text, found.length);
  const toMark = new Map(found.map((edge, i) => [edge, marks[i]!]));
  const fromMark = new Map(found.map((edge, i) => [marks[i]!, edge]));
  const marked = render(
    messages.map(({ role, content }) => ({
      role,
      content: content.map((part) =>
        part.type === 'text' ? { ...part, text: replaceUnits(part.text, toMark) } : part,
      ),
    })),
  );
  if (replaceUnits(marked, fromMark) !== text) {
    // The template looks at the content (as for think tags). That is safe where no token is spelt in
    // a message, nor by a message together with what stands beside it.
    const spelt = special.find(
      (token) =>
        said.some((part) => part.includes(token)) || count(text, token) !== count(marked, token),
    );
    if (spelt === undefined) return { text, literal: [] };
    throw new RangeError(
      `renderLiteral: a message must not spell the special token ${quoteName(spelt)} under this chat template, which acts on message content. Write it in another way.`,
    );
  }
  const literal: LiteralSpan[] = [];
  for (let i = 0; i < marked.length; i++) {
    if (fromMark.has(marked[i]!)) literal.push([i, i + 1]);
  }
  return { text, literal };
}

function count(text: string, token: string): number {
  return text.split(token).length - 1;
}

function unusedCharacters(text: string, count: number): string[] {
  const used = new Set(text);
  const free: string[] = [];
  for (let code = PRIVATE[0]; code <= PRIVATE[1] && free.length < count; code++) {
    const character = String.fromCharCode(code);
    if (!used.has(character)) free.push(character);
  }
  if (free.length < count) {
    throw new RangeError('renderLiteral: messages must leave some private-use characters unused.');
  }
  return free;
}

/** Replace UTF-16 units one by one, so that offsets stay. */
function replaceUnits(text: string, replacements: ReadonlyMap<string, string>): string {
  let out = '';
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const replacement = replacements.get(text[i]!);
    if (replacement === undefined) continue;
    out += text.slice(start, i) + replacement;
    start = i + 1;
  }
  return out + text.slice(start);
}
