/** Questions about pictures with their reference answers, made of conversations. */
import type { Message, ProcessorSample, RgbImage } from '@mha2mla/vlm-adapters';
import type { Conversation } from './conversation';

export interface Question {
  /** The conversation up to the answer. */
  messages: readonly Message[];
  /** Accepted answers, the first of which likelihoods are taken of. */
  answers: readonly string[];
  /** A label that accuracy is also reported by. */
  kind?: string;
  /** Decode the pictures; called when the question's turn comes, so that few are held at a time. */
  loadImages(): Promise<RgbImage[]>;
}

/**
 * The question that a conversation ends with.
 * @param loadImages decodes the conversation's pictures, in their order.
 * @throws TypeError when the last turn is no answer.
 */
export function questionOf(
  { messages, answers, kind, where }: Conversation,
  loadImages: () => Promise<RgbImage[]>,
): Question {
  if (answers.length === 0) {
    throw new TypeError(
      `questionOf: ${where} must end with a turn of the assistant, got ${JSON.stringify(messages.at(-1)?.role)}.`,
    );
  }
  return { messages: messages.slice(0, -1), answers, loadImages, ...(kind && { kind }) };
}

/** What a processor takes of each question. */
export function samplesOf(questions: readonly Question[]): Promise<ProcessorSample[]> {
  return Promise.all(
    questions.map(async ({ messages, loadImages }) => ({ messages, images: await loadImages() })),
  );
}
