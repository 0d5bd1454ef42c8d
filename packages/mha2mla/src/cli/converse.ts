import type { ChatSession, Message, ProcessorSample } from '@mha2mla/vlm-adapters';
import { type Answer, type AnswerOptions, streamAnswer } from './stream-answer';
import { textMessage } from './text-message';

/**
 * Answer a conversation, then each further prompt in it, to the end or to an interruption.
 * @param sample grows by what is said.
 * @param prompts of further turns; ended with the conversation.
 */
export async function* converse(
  session: ChatSession,
  sample: ProcessorSample & { messages: Message[] },
  prompts: AsyncGenerator<string, undefined>,
  options: AnswerOptions,
): AsyncGenerator<Answer> {
  try {
    for (;;) {
      const answer = await streamAnswer(session, sample, options);
      yield answer;
      if (options.signal?.aborted) return;
      const { value: prompt } = await prompts.next();
      if (prompt === undefined) return;
      sample.messages.push(textMessage('assistant', answer.text), textMessage('user', prompt));
    }
  } finally {
    await prompts.return(undefined);
  }
}
