/**
 * Conversations to prompt text by the checkpoint's own Jinja template, and the parts of that text
 * that came from the messages: a special token that a user has typed is text, not a token.
 */
import { boundedTemplate } from './bounded-template';
import type { LiteralSpan } from './encode-literal';
import { type Message, messageParts } from './message-parts';
import { renderLiteral } from './render-literal';

export interface ChatTemplateFiles {
  /** Text of `chat_template.jinja`. */
  jinja?: string | undefined;
  /** Parsed `chat_template.json`. */
  chatTemplateJson?: unknown;
  /** Parsed `processor_config.json`. */
  processorConfig?: unknown;
  /** Parsed `tokenizer_config.json`. */
  tokenizerConfig?: unknown;
}

export interface ChatTemplateOptions {
  /** Special tokens by role, for templates that print `bos_token` and the like. */
  namedTokens?: Readonly<Record<string, string>>;
  /** Spellings that must stay text where a message holds them. */
  specialTokens?: Iterable<string>;
}

export interface RenderOptions {
  /** End with the assistant's heading. Default false. */
  addGenerationPrompt?: boolean;
}

/** A prompt, and where what a user wrote looks like a special token. */
export interface RenderedPrompt {
  text: string;
  /** Where message text touches a special token's spelling; for `TextTokenizer.encode`. */
  literal: LiteralSpan[];
}

/** A chat template of a checkpoint, bounded in time and size. */
export interface ChatTemplate {
  /** Writes a conversation out as the prompt that the model was trained on. */
  render(messages: readonly Message[], options?: RenderOptions): string;
  /** @throws RangeError when the template acts on special spellings in a message */
  renderLiteral(messages: readonly Message[], options?: RenderOptions): RenderedPrompt;
}

/**
 * Make the template of a checkpoint from the first of its files that holds one, in Hugging Face's
 * order: `chat_template.jinja`, `chat_template.json`, `processor_config.json`,
 * `tokenizer_config.json`.
 * @throws RangeError when none does, or the template is too large
 */
export function loadChatTemplate(
  files: ChatTemplateFiles,
  { namedTokens = {}, specialTokens = [] }: ChatTemplateOptions = {},
): ChatTemplate {
  const run = boundedTemplate(sourceOf(files));
  const special = [...specialTokens];
  const render = (messages: readonly Message[], { addGenerationPrompt = false }: RenderOptions) =>
    run({
      ...namedTokens,
      messages,
      tools: null,
      documents: null,
      add_generation_prompt: addGenerationPrompt,
    });
  const toParts = (messages: readonly Message[]) =>
    messages.map((message) => ({ role: message.role, content: messageParts(message) }));
  return {
    render: (messages, options = {}) => render(toParts(messages), options),
    renderLiteral: (messages, options = {}) =>
      renderLiteral((marked) => render(marked, options), toParts(messages), special),
  };
}

function sourceOf(files: ChatTemplateFiles): string {
  const { jinja, chatTemplateJson, processorConfig, tokenizerConfig } = files;
  if (jinja !== undefined) return jinja;
  for (const file of [chatTemplateJson, processorConfig, tokenizerConfig]) {
    const entry = (file as { chat_template?: unknown } | undefined | null)?.chat_template;
    const source = Array.isArray(entry)
      ? entry.find((one: { name?: unknown } | null) => one?.name === 'default')?.template
      : entry;
    if (typeof source === 'string') return source;
  }
  throw new RangeError(
    'loadChatTemplate: a checkpoint must have a chat template, got none in chat_template.jinja, chat_template.json, processor_config.json, tokenizer_config.json. Pass prompts as text.',
  );
}
