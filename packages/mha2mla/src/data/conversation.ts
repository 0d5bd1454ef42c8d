/**
 * Entries of a DATA file: conversations with pictures and videos, in the form of LLaVA (`image`,
 * `video`, `conversations`) or of chat messages (`messages`, `images`, `videos`), as a JSON list or
 * one JSON a line.
 */
import { parseJson, quoteName } from '@mha2mla/checkpoint';
import type { Message } from '@mha2mla/vlm-adapters';
import { parseTurn } from './turn';
import { parseVideos, type VideoFiles } from './video-files';

/** An entry of a DATA file, checked, its pictures and videos not yet opened. */
export interface Conversation {
  /** Turns; an answer that is a list has its first entry as content. */
  messages: readonly Message[];
  /** Pictures in the order of their places: paths relative to the file, or `data:` URLs. */
  images: readonly string[];
  /** Videos in the order of their places. */
  videos: readonly VideoFiles[];
  /** Accepted answers of the last turn; empty where the last turn is no assistant's. */
  answers: readonly string[];
  kind?: string;
  /** All other keys of the entry, as they are. */
  extra: ReadonlyMap<string, unknown>;
  /** Where the entry stands, for messages. */
  where: string;
}

const OWN_KEYS = new Set([
  'messages',
  'conversations',
  'images',
  'image',
  'videos',
  'video',
  'kind',
]);

/**
 * Parse a DATA file.
 * @param name of the file, for messages.
 * @throws CheckpointError for malformed JSON; TypeError for another form; RangeError where pictures
 *   or videos and their places differ in number. All name the line, or the entry of a list.
 */
export function parseConversations(text: string, name: string): Conversation[] {
  const entries = text.trimStart().startsWith('[')
    ? (parseJson(text, name) as unknown[]).map((entry, i) =>
        parseEntry(entry, `entry ${i + 1} of ${quoteName(name)}`),
      )
    : text.split('\n').flatMap((line, i) => {
        const where = `${name}:${i + 1}`;
        return line.trim() ? [parseEntry(parseJson(line, where), quoteName(where))] : [];
      });
  if (entries.length > 0) return entries;
  throw new TypeError(`parseConversations: ${quoteName(name)} must hold conversations, got none.`);
}

function parseEntry(entry: unknown, where: string): Conversation {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    throw new TypeError(
      `parseConversations: ${where} must be a JSON object, got ${kindOf(entry)}.`,
    );
  }
  const record = new Map<string, unknown>(Object.entries(entry));
  const turns = record.get('messages') ?? record.get('conversations');
  if (!Array.isArray(turns) || turns.length === 0) {
    throw new TypeError(
      `parseConversations: ${where} must have messages or conversations, a list of turns, got ${kindOf(turns)}.`,
    );
  }
  const parsed = turns.map((turn) => parseTurn(turn, where));
  const messages = parsed.map(({ message }) => message);
  const images = parseImages(record.get('images') ?? record.get('image') ?? [], where);
  const videos = parseVideos(record.get('videos') ?? record.get('video') ?? [], where);
  assertPlaces(messages, 'image', images.length, where);
  assertPlaces(messages, 'video', videos.length, where);
  const kind = parseKind(record.get('kind'), where);
  return {
    messages,
    images,
    videos,
    answers: parsed.at(-1)!.answers,
    ...(kind !== undefined && { kind }),
    extra: new Map([...record].filter(([key]) => !OWN_KEYS.has(key))),
    where,
  };
}

function parseImages(images: unknown, where: string): string[] {
  const list = typeof images === 'string' ? [images] : images;
  if (Array.isArray(list) && list.every((one) => typeof one === 'string')) return list;
  throw new TypeError(
    `parseConversations: images of ${where} must be a path or a list of paths, got ${kindOf(images)}.`,
  );
}

function parseKind(kind: unknown, where: string): string | undefined {
  if (kind === undefined || typeof kind === 'string') return kind;
  throw new TypeError(`parseConversations: kind of ${where} must be text, got ${kindOf(kind)}.`);
}

/** Parts of a kind, or `<image>` and `<video>` in a user's plain text, are places of media. */
function assertPlaces(
  messages: readonly Message[],
  kind: 'image' | 'video',
  count: number,
  where: string,
): void {
  const places = messages.reduce((sum, { role, content }) => {
    if (typeof content !== 'string')
      return sum + content.filter(({ type }) => type === kind).length;
    return role === 'user' ? sum + content.split(`<${kind}>`).length - 1 : sum;
  }, 0);
  if (places === count) return;
  const name = kind === 'image' ? 'picture' : 'video';
  throw new RangeError(
    `parseConversations: ${where} must have a place for each ${name}, got ${places} places and ${count} ${name}s. Write <${kind}> in the text of a user, or a part {"type": "${kind}"}.`,
  );
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return value === null ? 'null' : typeof value;
}
