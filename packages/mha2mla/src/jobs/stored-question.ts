/** A question with its pictures and videos decoded, as a plain value and back. */
import type { CacheOptions, WeightFormat } from '@mha2mla/mla-runtime';
import type { Message } from '@mha2mla/vlm-adapters';
import type { Media, Question } from '../data/question';

export interface StoredQuestion {
  messages: readonly Message[];
  answers: readonly string[];
  media: Media;
}

/** How questions are asked. */
export interface AskSpec {
  cache?: CacheOptions;
  maxTokens?: number;
  weights?: WeightFormat;
}

export async function storeQuestion({
  messages,
  answers,
  loadMedia,
}: Question): Promise<StoredQuestion> {
  return { messages, answers, media: await loadMedia() };
}

export function restoreQuestion({ messages, answers, media }: StoredQuestion): Question {
  return { messages, answers, loadMedia: async () => media };
}
