/** One turn of a conversation in a DATA file. */
import { showJson } from '@mha2mla/checkpoint';
import type { Message, MessagePart } from '@mha2mla/vlm-adapters';

/** Roles of LLaVA's `from`; chat roles stay as they are. */
const ROLES = new Map([
  ['human', 'user'],
  ['gpt', 'assistant'],
]);

export interface Turn {
  message: Message;
  /** What the assistant may say here; empty for other roles. */
  answers: string[];
}

/**
 * Parse `{role, content}` or `{from, value}`. Content is text or a list of parts; the assistant's
 * may be a list of accepted texts, of which the first one is said.
 * @param where the turn stands, for messages.
 * @throws TypeError for another form.
 */
export function parseTurn(turn: unknown, where: string): Turn {
  const record = (typeof turn === 'object' ? turn : undefined) as Record<string, unknown> | null;
  const given = record?.role ?? record?.from;
  if (typeof given !== 'string') {
    throw new TypeError(
      `parseConversations: a turn in ${where} must have a role (or from), text, got ${showJson(given)}.`,
    );
  }
  const role = ROLES.get(given) ?? given;
  const content = record?.content ?? record?.value;
  if (typeof content === 'string') return turnOf(role, content, [content]);
  if (role === 'assistant' && isTexts(content)) return turnOf(role, content[0]!, content);
  if (isParts(content)) return turnOf(role, content, [textOf(content)]);
  throw new TypeError(
    `parseConversations: a turn in ${where} must have content (or value): text, a list of parts {"type": "text", "text": …} or {"type": "image"}, or accepted answers of the assistant, got ${showJson(content)}.`,
  );
}

function turnOf(role: string, content: Message['content'], answers: string[]): Turn {
  return { message: { role, content }, answers: role === 'assistant' ? answers : [] };
}

function isTexts(content: unknown): content is string[] {
  return (
    Array.isArray(content) && content.length > 0 && content.every((one) => typeof one === 'string')
  );
}

function isParts(content: unknown): content is MessagePart[] {
  const isPart = (part: { type?: unknown; text?: unknown } | null) =>
    part?.type === 'image' ||
    part?.type === 'video' ||
    (part?.type === 'text' && typeof part.text === 'string');
  return Array.isArray(content) && content.length > 0 && content.every(isPart);
}

function textOf(parts: readonly MessagePart[]): string {
  return parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
}
