/**
 * Conversations with one model over one cache. Each reply is given the whole conversation; what the
 * cache holds of its beginning is not run again, so a picture is encoded once for many questions.
 */
import {
  type CacheOptions,
  ContextFullError,
  type DecodedBy,
  type DecoderCache,
  type GenerateInputs,
  type GenerateOptions,
  generate,
  tokenLayout,
} from '@mha2mla/mla-runtime';
import type { ModelInputs, Processor, ProcessorSample } from '../model-inputs';
import { prepareInputs } from '../prepare-inputs';
import { unlessAborted } from '../unless-aborted';
import type { VisionLanguageModel } from '../vision-language-model';
import { AnswerText } from './answer-text';
import { commonLength, firstTokens, type HeldTokens, heldTokens } from './held-tokens';
import {
  type CachedTokens,
  type Reply,
  type ReplyPart,
  type ReplyResult,
  startReply,
} from './reply';

/** Options of `ChatSession.reply`. */
export interface ReplyOptions
  extends Omit<
    GenerateOptions,
    'cache' | 'contextWindow' | 'eosTokenIds' | 'promptIds' | 'onProgress'
  > {
  /** Texts that end the answer, and are not part of it. */
  stop?: readonly string[];
  /** Ids that end the answer beside the model's own. */
  stopTokenIds?: readonly number[];
  /** Called after each layer of the vision encoder, then of the prefill. */
  onProgress?: (progress: { phase: 'vision' | 'prefill'; loaded: number; total: number }) => void;
}

/** Options of `ChatSession`. */
export interface ChatOptions {
  /** How the cache stores. */
  cache?: CacheOptions;
}

/** What a session needs of a model. */
export type ChatModel = Pick<VisionLanguageModel, 'family' | 'config' | 'decoder' | 'embedPaused'>;

const NOTHING: HeldTokens = { ids: [], media: [] };

/** Conversations over one cache, which holds what was said before. */
export class ChatSession {
  private cache: DecoderCache;
  private held = NOTHING;
  private readonly replies = new Set<Reply>();
  private last: Promise<unknown> = Promise.resolve();

  /** The caller disposes the session before the model. */
  constructor(
    private readonly model: ChatModel,
    private readonly processor: Processor,
    private readonly options: ChatOptions = {},
  ) {
    this.cache = model.decoder.createCache(1, options.cache);
  }

  /** Tokens that a conversation may have. */
  get contextWindow(): number {
    return this.processor.contextWindow;
  }

  /** Tokens that the cache holds. */
  get contextUsage(): number {
    return this.cache.lengths[0]!;
  }

  /**
   * Answer a conversation; replies of a session come one after another. One that is given up while it
   * waits ends at once.
   * @param sample the whole conversation, its pictures and videos included.
   * @returns at once. It rejects with the signal's reason when that aborts, with a `ContextFullError`
   *   before any work where the conversation does not fit.
   */
  reply(sample: ProcessorSample | Promise<ProcessorSample>, options: ReplyOptions = {}): Reply {
    const { last } = this;
    const reply = startReply(async (emit, stopping) => {
      const { signal } = options;
      try {
        const turn = unlessAborted(Promise.all([sample, last]), stopping);
        [sample] = await unlessAborted(turn, signal);
      } catch (error) {
        if (!stopping.aborted || signal?.aborted) throw error;
        return this.nothing();
      }
      return this.answer(sample, options, emit, stopping);
    });
    this.replies.add(reply);
    const forget = () => this.replies.delete(reply);
    this.last = Promise.allSettled([last, reply]).then(forget);
    return reply;
  }

  /** Stop what is running, wait for its end, and free the cache. */
  async dispose(): Promise<void> {
    for (const reply of this.replies) reply.stop();
    await this.last;
    this.cache.dispose();
  }

  /** `dispose`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  private async answer(
    sample: ProcessorSample,
    { stop = [], stopTokenIds = [], signal: outer, onProgress, ...options }: ReplyOptions,
    emit: (part: ReplyPart) => void,
    stopping: AbortSignal,
  ): Promise<ReplyResult> {
    outer?.throwIfAborted();
    const { model } = this;
    const started = performance.now();
    const times: number[] = [];
    const inputs = this.processor.process([sample]);
    const now = heldTokens(model.config, inputs, sample);
    const { length } = inputs;
    if (length >= this.contextWindow) {
      throw new ContextFullError('reply', length, this.contextWindow);
    }
    const cached = commonLength(this.held, now);
    const eosTokenIds = [...model.config.eosTokenIds, ...stopTokenIds];
    const said: number[] = [];
    const visionTokens = this.visionTokens(now);
    const text = new AnswerText(this.processor, stop, (piece) => {
      const cachedTokens = this.cachedTokens(visionTokens);
      emit({ text: piece, outputTokens: said.length, cachedTokens });
    });
    let path: DecodedBy | undefined;
    let finishReason: ReplyResult['finishReason'] = 'length';
    if (cached > 0) {
      this.cache.rewind([cached]);
      this.held = firstTokens(this.held, cached);
    } else this.clear();
    const { cache } = this;
    let rest: GenerateInputs | undefined;
    try {
      const signal = outer ? AbortSignal.any([outer, stopping]) : stopping;
      rest = await this.rest(sample, inputs, now, cached, { signal, onProgress });
      const { contextWindow } = this;
      const promptIds = [inputs.inputIds];
      const own = { eosTokenIds, promptIds, contextWindow, cache, signal, onProgress };
      const steps = generate(model.decoder, rest, { ...options, ...own });
      for await (const { tokens, decodedBy } of steps) {
        path = decodedBy;
        times.push(performance.now());
        said.push(tokens[0]!);
        if (!eosTokenIds.includes(tokens[0]!) && text.push(tokens[0]!)) continue;
        finishReason = 'stop';
        break;
      }
    } catch (error) {
      if (!stopping.aborted || outer?.aborted) {
        // A step that failed may have left layers of different lengths.
        if (!outer?.aborted) this.clear();
        throw error;
      }
      finishReason = 'abort';
    } finally {
      rest?.inputsEmbeds.dispose();
      this.held = firstTokens({ ...now, ids: [...now.ids, ...said] }, this.contextUsage);
    }
    text.end();
    return {
      text: text.whole,
      finishReason,
      usage: { inputTokens: length, cachedInputTokens: cached, outputTokens: said.length },
      stats: {
        ...speeds(started, times, length - cached),
        ...(path && { decodedBy: path }),
        ...this.usage(),
      },
    };
  }

  /** What the cache lacks of a conversation, embedded; the caller disposes `inputsEmbeds`. */
  private async rest(
    { images, videos = [] }: ProcessorSample,
    inputs: ModelInputs,
    { media }: HeldTokens,
    cached: number,
    options: Pick<ReplyOptions, 'signal' | 'onProgress'>,
  ): Promise<GenerateInputs> {
    const { family, config } = this.model;
    const { length } = inputs;
    const { positionIds, nextPositions } = prepareInputs(family, config, inputs);
    const inputIds = inputs.inputIds.subarray(cached);
    const attentionMask = inputs.attentionMask.subarray(cached);
    const shape = { batch: 1, length: length - cached };
    const isNew = (kind: string) => (_: unknown, index: number) =>
      media.some((one) => one.kind === kind && one.index === index && one.start >= cached);
    const others = {
      images: images.filter(isNew('image')),
      videos: videos.filter(isNew('video')),
    };
    const own = cached === 0 ? inputs : this.processor.processMedia(others);
    const vision = new Set(config.visionTokenIds);
    const embedded = { ...own, ...shape, inputIds, attentionMask };
    return {
      inputsEmbeds: await this.model.embedPaused(embedded, options),
      layout: tokenLayout(inputIds, attentionMask, [1, shape.length], (id) => vision.has(id)),
      positionIds: positionIds.filter((_, i) => i % length >= cached),
      nextPositions,
    };
  }

  private clear(): void {
    this.cache.dispose();
    this.cache = this.model.decoder.createCache(1, this.options.cache);
    this.held = NOTHING;
  }

  /** Of a reply that was stopped before its turn. */
  private nothing(): ReplyResult {
    return {
      text: '',
      finishReason: 'abort',
      usage: { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0 },
      stats: { ...speeds(0, [], 0), ...this.usage() },
    };
  }

  private usage() {
    return {
      cachedTokens: this.cachedTokens(this.visionTokens(this.held)),
      cacheBytesAllocated: this.cache.allocatedBytes,
    };
  }

  private visionTokens({ ids }: HeldTokens): number {
    return ids.filter((id) => this.model.config.visionTokenIds.includes(id)).length;
  }

  private cachedTokens(vision: number): CachedTokens {
    return { vision, text: this.contextUsage - vision };
  }
}

function speeds(start: number, [first, ...others]: readonly number[], prompt: number) {
  if (first === undefined) return { prefillTokensPerSecond: 0, decodeTokensPerSecond: 0 };
  const last = others.at(-1);
  return {
    timeToFirstTokenMs: first - start,
    prefillTokensPerSecond: (1000 * prompt) / (first - start),
    decodeTokensPerSecond: last === undefined ? 0 : (1000 * others.length) / (last - first),
  };
}
