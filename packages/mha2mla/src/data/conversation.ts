/**
 * Entries of a DATA file: conversations with pictures, in the form of LLaVA (`image`,
 * `conversations`) or of chat messages (`messages`, `images`), as a JSON list or one JSON a line.
 */
import { parseJson, quoteName } from '@mha2mla/checkpoint';
import type { Message } from '@mha2mla/vlm-adapters';

export interface Conversation {
  /** Turns; an answer that is a list has its first entry as content. */
  messages: readonly Message[];
  /** Pictures in the order of their places: paths relative to the file, or `data:` URLs. */
  images: readonly string[];
  /** Accepted answers of the last turn; empty where the last turn is no assistant's. */
  answers: readonly string[];
  kind?: string;
}

/** Roles of LLaVA's `from`; chat roles stay as they are. */
const ROLES = new Map([
  ['human', 'user'],
  ['gpt', 'assistant'],
]);

/**
 * Parse a DATA file.
 * @param name of the file, for messages.
 * @throws CheckpointError for malformed JSON; TypeError, with the entry's number, for another form.
 */
export function parseConversations(text: string, name: string): Conversation[] {
  const entries = text.trimStart().startsWith('[')
    ? (parseJson(text, name) as unknown[])
    : text
        .split('\n')
        .flatMap((line, i) => (line.trim() ? [parseJson(line, `${name}:${i + 1}`)] : []));
  if (entries.length === 0) {
    throw new TypeError(
      `parseConversations: ${quoteName(name)} must hold conversations, got none.`,
    );
  }
  return entries.map((entry, i) => parseEntry(entry, `entry ${i + 1} of ${quoteName(name)}`));
}

function parseEntry(entry: unknown, where: string): Conversation {
  const record = asRecord(entry, where);
  const turns = record.messages ?? record.conversations;
  if (!Array.isArray(turns) || turns.length === 0) {
    throw new TypeError(
      `parseConversations: ${where} must have messages or conversations, a list of turns, got ${typeof turns}.`,
    );
  }
  const parsed = turns.map((turn) => parseTurn(turn, where));
  const last = parsed.at(-1)!;
  const { kind } = record;
  return {
    messages: parsed.map(({ message }) => message),
    images: parseImages(record.images ?? record.image ?? [], where),
    answers: last.message.role === 'assistant' ? last.answers : [],
    ...(typeof kind === 'string' && { kind }),
  };
}

function parseTurn(turn: unknown, where: string): { message: Message; answers: string[] } {
  const record = asRecord(turn, where);
  const role = record.role ?? record.from;
  const content = record.content ?? record.value;
  if (typeof role !== 'string') {
    throw new TypeError(
      `parseConversations: a turn in ${where} must have a role (or from), got ${typeof role}.`,
    );
  }
  const known = ROLES.get(role) ?? role;
  if (typeof content === 'string') {
    return { message: { role: known, content }, answers: [content] };
  }
  if (isTexts(content)) {
    return { message: { role: known, content: content[0]! }, answers: content };
  }
  if (!Array.isArray(content)) {
    throw new TypeError(
      `parseConversations: a turn in ${where} must have content (or value), text or a list, got ${typeof content}.`,
    );
  }
  // Parts are checked where they are rendered.
  const message: Message = { role: known, content };
  return { message, answers: [textOf(content)] };
}

function isTexts(content: unknown): content is string[] {
  return (
    Array.isArray(content) && content.length > 0 && content.every((one) => typeof one === 'string')
  );
}

function textOf(parts: readonly { type?: unknown; text?: unknown }[]): string {
  return parts
    .filter((part) => part?.type === 'text' && typeof part.text === 'string')
    .map((part) => part.text)
    .join('');
}

function parseImages(images: unknown, where: string): string[] {
  const list = typeof images === 'string' ? [images] : images;
  if (!Array.isArray(list) || !list.every((one) => typeof one === 'string')) {
    throw new TypeError(
      `parseConversations: images of ${where} must be a path or a list of paths, got ${typeof images}.`,
    );
  }
  return list;
}

function asRecord(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new TypeError(`parseConversations: ${where} must be a JSON object, got ${typeof value}.`);
}
