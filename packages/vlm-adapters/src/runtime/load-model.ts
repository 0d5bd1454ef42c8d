/** Load a model and talk with it: everything from a folder's address to answers about pictures. */
import type { FileStore } from '@mha2mla/checkpoint';
import { type BackendName, chooseBackend } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import { ChatSession } from '../chat/chat-session';
import { type Reply, startReply } from '../chat/reply';
import type { VlmFamily } from '../family';
import { VisionLanguageModel } from '../vision-language-model';
import { storedBytes } from '../weight-sizes';
import { type ChatMessage, chatSample, type DecodeImage } from './chat-message';
import { decodeImage } from './decode-image';
import type { ChatRequestOptions, Model, ModelOptions, ModelSource } from './model';
import { DISPOSED, ModelError } from './model-error';
import { openSource } from './open-source';

export interface LoadModelOptions extends ModelOptions {
  /** Those that the application supports; the config's `model_type` picks one. */
  families: readonly VlmFamily[];
  /** Default: what the browser decodes. */
  decodeImage?: DecodeImage;
}

/**
 * Load a model. One backend is in use at a time in a thread, so models of a thread share theirs.
 * @param source a folder: as a store, its http address, or its files.
 * @returns the model; the caller disposes it. The store can be closed then.
 * @throws the signal's reason when aborted, and what `chooseBackend`, `openVlm` and
 *   `VisionLanguageModel.load` throw.
 */
export async function loadModel(
  source: FileStore | ModelSource,
  {
    families,
    backend: wanted = 'auto',
    decodeImage: decode = decodeImage,
    ...options
  }: LoadModelOptions,
): Promise<Model> {
  const { signal, onProgress, cache } = options;
  signal?.throwIfAborted();
  const backend = await chooseBackend(wanted);
  let progress: ((bytes: number) => void) | undefined;
  const onRead = (bytes: number) => progress?.(bytes);
  const opened = await openSource(source, { families, signal, onRead });
  const processor = await opened.family.loadProcessor(opened.config, opened.store);
  const total = storedBytes(opened);
  let loaded = 0;
  const report = () => onProgress?.({ phase: 'load', loaded, total });
  report();
  progress = (bytes) => {
    loaded += bytes;
    report();
  };
  const { onProgress: _, ...loading } = options;
  const model = await VisionLanguageModel.load(opened, loading);
  const session = new ChatSession(model, processor, { cache: cache ?? opened.cache });
  return new LoadedModel(model, session, backend, decode);
}

const refuse = (error: ModelError): Reply => startReply(() => Promise.reject(error));

class LoadedModel implements Model {
  private ended: Promise<void> | undefined;

  constructor(
    private readonly model: VisionLanguageModel,
    private readonly session: ChatSession,
    readonly backend: BackendName,
    private readonly decode: DecodeImage,
  ) {}

  get contextWindow(): number {
    return this.session.contextWindow;
  }

  get contextUsage(): number {
    return this.session.contextUsage;
  }

  chat(messages: readonly ChatMessage[], options: ChatRequestOptions = {}): Reply {
    if (this.ended) {
      return refuse(new ModelError('disposed', DISPOSED));
    }
    const inUse = tf.getBackend();
    if (inUse !== this.backend) {
      return refuse(
        new ModelError(
          'backend-changed',
          `chat: TensorFlow.js must use ${this.backend}, on which the model was loaded, got ${inUse}. Set it back, or load models of other backends in workers.`,
        ),
      );
    }
    const sample = chatSample(messages, this.decode);
    return this.session.reply(sample, { random: Math.random, ...options });
  }

  dispose(): Promise<void> {
    this.ended ??= this.session.dispose().then(() => this.model.dispose());
    return this.ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
