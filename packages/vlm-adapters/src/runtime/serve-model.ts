/** A worker's side: loads models and answers for the page that `connectModel` runs in. */
import type { Reply, ReplyResult } from '../chat/reply';
import { describeModel } from './describe-model';
import { toErrorForm } from './error-form';
import { type LoadModelOptions, loadModel } from './load-model';
import type { Model } from './model';
import type { ModelDescription } from './model-description';
import { DISPOSED, ModelError } from './model-error';
import type { Endpoint, FromWorker, Loaded, ToWorker } from './worker-protocol';

/** Options of `serveModel`. */
export interface ServeModelOptions extends Pick<LoadModelOptions, 'families' | 'decodeImage'> {
  /** Runs before a model is loaded, such as to register a backend. */
  prepare?: () => unknown;
  /** Default: the worker's own scope. */
  endpoint?: Endpoint;
}

/**
 * Serve models until the worker ends. Call it before anything is awaited at the top of the worker's
 * script: messages that come earlier are lost.
 */
export function serveModel({
  endpoint = globalThis as unknown as Endpoint,
  prepare,
  ...serving
}: ServeModelOptions): void {
  const models = new Map<number, Model>();
  const running = new Map<number, Running>();
  const send = (message: FromWorker) => endpoint.postMessage(message);

  async function load({ id, source, options }: Message<'load'>, given: Given): Promise<Loaded> {
    await prepare?.();
    const model = await loadModel(source, { ...options, ...serving, ...given });
    models.set(id, model);
    const { backend, contextWindow } = model;
    return { backend, contextWindow };
  }

  async function chat(request: Message<'chat'>, given: Given, own: Running): Promise<ReplyResult> {
    const { id, messages, options } = request;
    const model = models.get(request.model);
    if (!model) throw new ModelError('disposed', DISPOSED);
    own.reply = model.chat(messages, { ...options, ...given });
    try {
      for await (const part of own.reply) send({ id, type: 'part', part });
      return await own.reply;
    } finally {
      send({ id, type: 'usage', contextUsage: model.contextUsage });
    }
  }

  async function run(request: Request, own: Running): Promise<Value> {
    const { id } = request;
    const given: Given = {
      signal: own.controller.signal,
      onProgress: (progress) => send({ id, type: 'progress', progress }),
    };
    if (request.type === 'describe') {
      const { signal } = given;
      return describeModel(request.source, { ...request.options, ...serving, signal });
    }
    if (request.type === 'load') return load(request, given);
    if (request.type === 'chat') return chat(request, given, own);
    await models.get(request.model)?.dispose();
    models.delete(request.model);
    return undefined;
  }

  async function answer(request: Request): Promise<void> {
    const { id } = request;
    const own: Running = { controller: new AbortController() };
    running.set(id, own);
    try {
      send({ id, type: 'result', value: await run(request, own) });
    } catch (error) {
      if (own.controller.signal.aborted) send({ id, type: 'abort' });
      else send({ id, type: 'error', error: toErrorForm(error) });
    } finally {
      running.delete(id);
    }
  }

  endpoint.addEventListener('message', (event) => {
    const message = (event as MessageEvent<ToWorker>).data;
    if (message.type === 'abort') running.get(message.id)?.controller.abort();
    else if (message.type === 'stop') running.get(message.id)?.reply?.stop();
    else void answer(message);
  });
  endpoint.start?.();
}

type Message<Type extends ToWorker['type']> = Extract<ToWorker, { type: Type }>;
type Request = Message<'describe' | 'load' | 'chat' | 'dispose'>;

type Value = ModelDescription | Loaded | ReplyResult | undefined;

interface Running {
  controller: AbortController;
  reply?: Reply;
}

interface Given {
  signal: AbortSignal;
  onProgress: (progress: { phase: string; loaded: number; total: number }) => void;
}
