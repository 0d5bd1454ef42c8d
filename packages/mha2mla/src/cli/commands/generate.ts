import { text as readAll } from 'node:stream/consumers';
import type { GenerateOptions } from '@mha2mla/mla-runtime';
import {
  createTokenStream,
  type MessagePart,
  type ModelInputs,
  type Processor,
  type ProcessorSample,
  VisionLanguageModel,
} from '@mha2mla/vlm-adapters';
import { readPicture } from '../../node/load-data';
import { openModelFolder } from '../../node/open-model';
import { useBackend } from '../../node/register-backends';
import { seededRandom } from '../../seeded-random';
import { cacheReport, cacheSetting } from '../cache-setting';
import type { Context } from '../context';
import { collect, integer, number } from '../option-values';
import { printable } from '../printable';
import type { AddCommand } from '../program';
import { addCacheOptions, addRunOptions, type CacheFlags, type RunFlags } from '../shared-options';
import { UsageError } from '../usage-error';

interface Flags extends RunFlags, CacheFlags {
  prompt: string;
  image?: string[];
  system?: string;
  maxTokens: number;
  temperature: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  stop?: string[];
  stats?: boolean;
  json?: boolean;
}

/** `generate MODEL`: an answer about pictures, as it comes. */
export const addGenerate: AddCommand = (program, contextOf, { stdin, stdout }) => {
  addCacheOptions(addRunOptions(program.command('generate <model>')))
    .description('answer a prompt, word by word')
    .requiredOption('--prompt <text>', 'what is asked; - reads standard input')
    .option('--image <file>', 'a picture; may be given several times', collect)
    .option('--system <text>', 'a system message')
    .option('--max-tokens <n>', 'most tokens of the answer', integer(1), 128)
    .option('--temperature <t>', '0 is greedy', number(0), 0)
    .option('--top-k <k>', 'draw from the k most likely tokens', integer(1))
    .option('--top-p <p>', 'draw from the fewest tokens that hold p', number(Number.MIN_VALUE, 1))
    .option('--min-p <p>', 'draw from tokens at least p times as likely as the best', number(0, 1))
    .option('--repetition-penalty <x>', 'divide the logits of tokens that were said', number(1))
    .option('--stop <text>', 'end where the answer says this; may be given several times', collect)
    .option('--stats', 'speed, memory and cache bytes on standard error')
    .addHelpText(
      'after',
      '\nExample:\n  mha2mla generate MODEL --image cat.png --prompt "What is in the picture?"',
    )
    .action(async (folder: string, flags: Flags) => {
      const context = contextOf(flags);
      const { terminal, signal } = context;
      const sample = await sampleOf(flags, stdin);
      await useBackend(flags.backend);
      const { source, close } = await openModelFolder(folder);
      try {
        const processor = await source.family.loadProcessor(source.config, source.store);
        const inputs = processor.process([sample]);
        if (inputs.length + flags.maxTokens > processor.contextWindow) {
          throw new UsageError(
            `generate: prompt and answer must fit the model's ${processor.contextWindow} positions, got ${inputs.length} + ${flags.maxTokens} tokens. Lower --max-tokens.`,
          );
        }
        const model = await VisionLanguageModel.load(source, {
          signal,
          onProgress: terminal.progress,
        });
        const cache = cacheSetting(source, flags);
        const shown = stdout.isTTY ? printable : (text: string) => text;
        const emit = (text: string) => context.json || terminal.write(shown(text));
        const answer = await streamAnswer(model, processor, inputs, emit, context, {
          ...flags,
          cache,
          random: seededRandom(flags.seed),
        });
        if (!context.json) terminal.write('\n');
        const { cacheBytesByModality: bytes } = cacheReport(source, cache);
        const vision = inputs.inputIds.filter((id) =>
          source.config.visionTokenIds.includes(id),
        ).length;
        const text = inputs.length - vision + Math.max(0, answer.tokens - 1);
        const report = { ...answer, cacheBytes: vision * bytes.vision + text * bytes.text };
        if (context.json) context.result(report, String);
        else if (flags.stats) terminal.log(describe(report));
        model.dispose();
        signal.throwIfAborted();
      } finally {
        await close();
      }
    });
};

async function sampleOf(flags: Flags, stdin: NodeJS.ReadableStream): Promise<ProcessorSample> {
  const prompt = flags.prompt === '-' ? (await readAll(stdin)).trimEnd() : flags.prompt;
  const files = flags.image ?? [];
  const content: MessagePart[] = [
    ...files.map((): MessagePart => ({ type: 'image' })),
    { type: 'text', text: prompt },
  ];
  const system =
    flags.system === undefined
      ? []
      : [{ role: 'system', content: [{ type: 'text' as const, text: flags.system }] }];
  return {
    messages: [...system, { role: 'user', content }],
    images: await Promise.all(files.map((file) => readPicture(file))),
  };
}

interface Answer {
  text: string;
  tokens: number;
  finishReason: 'stop' | 'length' | 'abort';
  prefillTokensPerSecond: number;
  decodeTokensPerSecond: number;
  timeToFirstTokenMs: number;
  cacheBytesAllocated: number;
  peakMemoryBytes: number;
}

/** Stream an answer; an interruption keeps what has come. */
async function streamAnswer(
  model: VisionLanguageModel,
  processor: Processor,
  inputs: ModelInputs,
  emit: (text: string) => void,
  { terminal, signal }: Context,
  options: GenerateOptions & { stop?: readonly string[] },
): Promise<Answer> {
  const { eosTokenIds } = model.config;
  const { stop = [], maxTokens } = options;
  const stream = createTokenStream(processor.tokenizer);
  const started = performance.now();
  let first = started;
  let last = started;
  let text = '';
  let tokens = 0;
  let allocated = 0;
  let finishReason: Answer['finishReason'] = 'length';
  try {
    const steps = model.generate(inputs, { ...options, signal, onProgress: terminal.progress });
    for await (const {
      tokens: [token = -1],
      cache,
    } of steps) {
      last = performance.now();
      if (tokens++ === 0) {
        first = last;
        terminal.end();
      }
      allocated = cache.allocatedBytes;
      if (eosTokenIds.includes(token)) {
        finishReason = 'stop';
        break;
      }
      const piece = stream.push(token) + (tokens === maxTokens ? stream.flush() : '');
      const end = stopAt(text + piece, stop);
      emit((text + piece).slice(text.length, end));
      text = (text + piece).slice(0, end);
      if (end !== undefined) {
        finishReason = 'stop';
        break;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    finishReason = 'abort';
  }
  const seconds = (from: number, to: number) => Math.max(to - from, 1e-3) / 1000;
  return {
    text,
    tokens,
    finishReason,
    prefillTokensPerSecond: inputs.length / seconds(started, first),
    decodeTokensPerSecond: tokens > 1 ? (tokens - 1) / seconds(first, last) : 0,
    timeToFirstTokenMs: first - started,
    cacheBytesAllocated: allocated,
    // maxRSS counts kibibytes.
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  };
}

/** Where the first stop text begins, or `undefined`. */
function stopAt(text: string, stop: readonly string[]): number | undefined {
  const places = stop.map((one) => text.indexOf(one)).filter((place) => place >= 0);
  return places.length > 0 ? Math.min(...places) : undefined;
}

function describe(answer: Answer & { cacheBytes: number }): string {
  const rate = (value: number) => value.toFixed(1);
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  return [
    `${answer.tokens} tokens (${answer.finishReason})`,
    `first after ${answer.timeToFirstTokenMs.toFixed(0)} ms`,
    `prefill ${rate(answer.prefillTokensPerSecond)} tokens/s`,
    `decode ${rate(answer.decodeTokensPerSecond)} tokens/s`,
    `cache ${answer.cacheBytes} bytes (${answer.cacheBytesAllocated} held)`,
    `peak memory ${mib(answer.peakMemoryBytes)}`,
  ].join(', ');
}
