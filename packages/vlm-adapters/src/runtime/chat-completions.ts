/**
 * OpenAI's `chat.completions.create` over a model, for code that was written for it. Pictures come as `data:` or `blob:` addresses; nothing else is fetched.
 */
import type { Reply, ReplyResult } from '../chat/reply';
import type { ChatMessage, ChatPart } from './chat-message';
import type { CompletionPart, CompletionRequest } from './completion-request';
import type { Model } from './model';
import { ModelError } from './model-error';

/**
 * The shape of OpenAI's client over a model.
 * @param model stays the caller's.
 */
export function chatCompletions(model: Model) {
  type Options = { signal?: AbortSignal };
  function create(asked: CompletionRequest & { stream: true }, options?: Options): Promise<Chunks>;
  function create(
    asked: CompletionRequest & { stream?: false | null },
    options?: Options,
  ): Promise<Completion>;
  async function create(
    { stream, ...asked }: CompletionRequest & { stream?: boolean | null },
    options: Options = {},
  ): Promise<Chunks | Completion> {
    const reply = model.chat(await Promise.all(asked.messages.map(toMessage)), {
      ...toOptions(asked),
      ...options,
    });
    const [id, created] = [`chatcmpl-${crypto.randomUUID()}`, Math.floor(Date.now() / 1000)];
    const base = { id, created, model: asked.model ?? 'mha2mla' };
    if (stream) return chunks(reply, base, asked.stream_options?.include_usage);
    return completion(await reply, base);
  }
  return {
    chat: {
      completions: {
        /** Answer at once, or in parts where `stream` is true. */
        create,
      },
    },
  };
}

type Base = { id: string; created: number; model: string };
type Chunks = ReturnType<typeof chunks>;
type Completion = ReturnType<typeof completion>;

function completion(whole: ReplyResult, base: Base) {
  const message = { role: 'assistant', content: whole.text };
  const choices = [{ index: 0, message, finish_reason: finishReason(whole) }];
  return { ...base, object: 'chat.completion' as const, choices, usage: usageOf(whole) };
}

async function* chunks(reply: Reply, base: Base, apart = false) {
  const object = 'chat.completion.chunk' as const;
  const chunk = (delta: { role?: string; content?: string }, finish_reason: string | null) => ({
    ...{ ...base, object },
    choices: [{ index: 0, delta, finish_reason }],
  });
  yield chunk({ role: 'assistant', content: '' }, null);
  for await (const { text } of reply) yield chunk({ content: text }, null);
  const whole = await reply;
  const last = chunk({}, finishReason(whole));
  if (apart) yield last;
  yield { ...last, ...(apart && { choices: [] }), usage: usageOf(whole) };
}

async function toMessage(message: CompletionRequest['messages'][number]): Promise<ChatMessage> {
  const toPart = async (part: CompletionPart): Promise<ChatPart> => {
    if (part.type !== 'image_url') return part;
    const { url } = part.image_url;
    if (/^(data|blob):/.test(url)) return { type: 'image', image: await (await fetch(url)).blob() };
    throw badRequest("image_url must be a 'data:' or 'blob:' address", url.slice(0, 40));
  };
  const { role, content } = message;
  return {
    role,
    content: typeof content === 'string' ? content : await Promise.all(content.map(toPart)),
  };
}

/** An answer that does not heed a parameter would be another one, so those not known are refused. */
function toOptions({ messages, model, stream_options, ...asked }: CompletionRequest) {
  const { max_tokens, max_completion_tokens, temperature, top_p, seed, stop, ...others } = asked;
  const unknown = Object.entries(others).find(([, value]) => value !== null && value !== undefined);
  if (unknown) throw badRequest('parameters must be those of CompletionRequest', unknown[0]);
  return {
    maxTokens: max_completion_tokens ?? max_tokens ?? undefined,
    temperature: temperature ?? undefined,
    topP: top_p ?? undefined,
    seed: seed ?? undefined,
    stop: typeof stop === 'string' ? [stop] : (stop ?? undefined),
  };
}

const finishReason = ({ finishReason: why }: ReplyResult) => (why === 'abort' ? 'stop' : why);

function usageOf({ usage: { inputTokens, outputTokens, cachedInputTokens } }: ReplyResult) {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: { cached_tokens: cachedInputTokens },
  };
}

function badRequest(must: string, got: string): ModelError {
  return new ModelError('bad-request', `create: ${must}, got ${JSON.stringify(got)}.`);
}
