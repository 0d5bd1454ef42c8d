/** Questions about pictures and videos with their reference answers, made of conversations. */
import { showJson } from '@mha2mla/checkpoint';
import type { Message, ProcessorSample } from '@mha2mla/vlm-adapters';
import type { Conversation } from './conversation';

/** Decoded pictures and videos, in the order of their places. */
export type Media = Pick<ProcessorSample, 'images' | 'videos'>;

/** A question, its reference answers, and how to decode its pictures. */
export interface Question {
  /** The conversation up to the answer. */
  messages: readonly Message[];
  /** Accepted answers, the first of which likelihoods are taken of. */
  answers: readonly string[];
  /** A label that accuracy is also reported by. */
  kind?: string;
  /** The same for all questions about the same pictures and videos; absent where nobody knows. */
  mediaKey?: string;
  /** Decode what is asked about; called when the question's turn comes, so that little is held. */
  loadMedia(): Promise<Media>;
}

/**
 * The question that a conversation ends with.
 * @param loadMedia decodes the conversation's pictures and videos.
 * @throws TypeError when the last turn is no answer.
 */
export function questionOf(
  { messages, answers, kind, images, videos, where }: Conversation,
  loadMedia: () => Promise<Media>,
): Question {
  if (answers.length === 0) {
    throw new TypeError(
      `questionOf: ${where} must end with a turn of the assistant, got ${showJson(messages.at(-1)?.role)}.`,
    );
  }
  const mediaKey = JSON.stringify([images, videos]);
  return { messages: messages.slice(0, -1), answers, mediaKey, loadMedia, ...(kind && { kind }) };
}

/** What a processor takes of each question. */
export function samplesOf(questions: readonly Question[]): Promise<ProcessorSample[]> {
  return Promise.all(
    questions.map(async ({ messages, loadMedia }) => ({ messages, ...(await loadMedia()) })),
  );
}
