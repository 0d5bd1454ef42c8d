/**
 * Messages of a conversation. Content is a list of parts; a plain string is the LLaVA data form,
 * where `<image>` and `<video>` in a user's turn stand for the pictures.
 */

import { showJson } from '@mha2mla/checkpoint';

/** A part of a message: text, or the place of a picture or video. */
export type MessagePart = { type: 'image' } | { type: 'video' } | { type: 'text'; text: string };

/** A turn of a conversation whose pictures are given beside it. */
export interface Message {
  role: string;
  content: string | readonly MessagePart[];
}

/**
 * The parts of a message. In a user's string `<image>` and `<video>` become parts, and the white
 * space around them goes, as LLaVA's data loader has it; text parts are never searched.
 * @throws TypeError for content of another form
 */
export function messageParts({ role, content }: Message): MessagePart[] {
  if (typeof content !== 'string') return checkParts(content);
  if (role !== 'user') return [{ type: 'text', text: content }];
  const pieces = content.split(/<(image|video)>/);
  if (pieces.length === 1) return [{ type: 'text', text: content }];
  // The captured names stand at the odd positions.
  const parts = pieces.map(
    (piece, i): MessagePart =>
      i % 2 === 1 ? { type: piece as 'image' | 'video' } : { type: 'text', text: piece.trim() },
  );
  return parts.filter((part) => part.type !== 'text' || part.text !== '');
}

function checkParts(content: readonly MessagePart[]): MessagePart[] {
  if (!Array.isArray(content)) {
    throw new TypeError(
      `messageParts: content must be a string or a list of parts, got ${typeof content}.`,
    );
  }
  for (const part of content as readonly { type?: unknown; text?: unknown }[]) {
    const known = part?.type === 'image' || part?.type === 'video';
    if (!known && !(part?.type === 'text' && typeof part.text === 'string')) {
      throw new TypeError(
        `messageParts: a part must be {type: 'image'}, {type: 'video'} or {type: 'text', text}, got type ${showJson(part?.type)}.`,
      );
    }
  }
  return [...content];
}
