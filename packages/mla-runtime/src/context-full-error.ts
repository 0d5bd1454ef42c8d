/** A conversation that no longer fits the context window; test `code`, not the class. */
export class ContextFullError extends RangeError {
  override readonly name = 'ContextFullError';
  readonly code = 'context-full';

  /**
   * @param owner the function that throws it.
   * @param tokens that the conversation has, with no place left for another.
   */
  constructor(
    owner: string,
    readonly tokens: number,
    readonly contextWindow: number,
  ) {
    super(
      `${owner}: a prompt and an answer must fit the context window of ${contextWindow} tokens, got a prompt of ${tokens}. Use fewer or smaller pictures, a shorter text, or a new conversation.`,
    );
  }
}
