import { text as readAll } from 'node:stream/consumers';
import type { CacheBytes } from '@mha2mla/mla-runtime';
import type { MessagePart, ModelInputs, ProcessorSample, VlmSource } from '@mha2mla/vlm-adapters';
import type { Command } from 'commander';
import { DEFAULT_FPS } from '../../data/video-files';
import { readPicture, readVideo } from '../../node/load-data';
import { withModelFolder } from '../../node/open-model';
import { cacheSetting } from '../cache-setting';
import type { CommonFlags } from '../context';
import { collect, integer, nonNegative, positive } from '../option-values';
import { printable } from '../printable';
import type { AddCommand } from '../program';
import {
  type AdapterFlags,
  addAdapterOption,
  addCacheOptions,
  addMediaOptions,
  addRunOptions,
  type CacheFlags,
  type MediaFlags,
  type RunFlags,
} from '../shared-options';
import { type Answer, streamAnswer } from '../stream-answer';
import { UsageError } from '../usage-error';
import { withModel } from '../with-model';

interface Flags extends RunFlags, MediaFlags, AdapterFlags, CacheFlags, CommonFlags {
  prompt: string;
  image: string[];
  video: string[];
  fps: number;
  system?: string;
  maxTokens: number;
  temperature: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  stop?: string[];
  stats?: boolean;
}

/** `generate MODEL`: an answer about pictures and videos, as it comes. */
export const addGenerate: AddCommand = (program, contextOf, { stdin, stdout }) => {
  addGenerateOptions(program.command('generate <model>'))
    .description('answer a prompt, word by word')
    .addHelpText(
      'after',
      '\nExample:\n  mha2mla generate MODEL --image cat.png --prompt "What is in the picture?"',
    )
    .action((folder: string, flags: Flags) => {
      const context = contextOf(flags);
      const { terminal, signal, json, result } = context;
      return withModelFolder(folder, flags, async (source) => {
        const { cache, report } = cacheSetting(source, flags);
        const processor = await source.family.loadProcessor(source.config, source.store);
        const prompt = flags.prompt === '-' ? await readPrompt(stdin, signal) : flags.prompt;
        const inputs = processor.process([await sampleOf(prompt, flags)]);
        assertFits(inputs, flags, processor.contextWindow);
        const shown = stdout.isTTY ? printable : (text: string) => text;
        await withModel(source, flags, context, async (model) => {
          const { temperature, topK, topP, minP, repetitionPenalty, maxTokens, stop } = flags;
          const total = source.config.decoder.numHiddenLayers;
          terminal.progress({ phase: 'prefill', loaded: 0, total });
          const answer = await streamAnswer(model, processor, inputs, {
            ...{ temperature, topK, topP, minP, repetitionPenalty, maxTokens, stop, cache, signal },
            seed: flags.seed,
            onProgress: terminal.progress,
            emit: json ? () => {} : (text) => terminal.write(shown(text)),
          });
          if (!json) terminal.write('\n');
          const cacheBytes = cachedBytes(source, inputs, answer, report.cacheBytesByModality);
          const all = { ...answer, cacheBytes };
          if (json) result(all, String);
          else if (flags.stats) terminal.log(describe(all));
        });
        signal.throwIfAborted();
      });
    });
};

function addGenerateOptions(command: Command): Command {
  return addCacheOptions(addMediaOptions(addAdapterOption(addRunOptions(command))))
    .requiredOption('--prompt <text>', 'what is asked; - reads standard input')
    .option('--image <file>', 'a picture; may be given several times', collect, [])
    .option('--video <folder>', 'a video as frames; may be given several times', collect, [])
    .option('--fps <n>', 'frames a second of the videos', positive(), DEFAULT_FPS)
    .option('--system <text>', 'a system message')
    .option('--max-tokens <n>', 'most tokens of the answer', integer(1), 128)
    .option('--temperature <t>', '0 is greedy', nonNegative(), 0)
    .option('--top-k <k>', 'draw from the k most likely tokens', integer(1))
    .option('--top-p <p>', 'draw from the fewest tokens that hold p', positive(1))
    .option(
      '--min-p <p>',
      'draw from tokens at least p times as likely as the best',
      nonNegative(1),
    )
    .option('--repetition-penalty <x>', 'divide the logits of tokens that were said', positive())
    .option('--stop <text>', 'end where the answer says this; may be given several times', collect)
    .option('--stats', 'speed, memory and cache bytes on standard error');
}

/** Standard input to its end, or to an interruption. */
async function readPrompt(stdin: NodeJS.ReadableStream, signal: AbortSignal): Promise<string> {
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  return (await Promise.race([readAll(stdin), interrupted])).trimEnd();
}

async function sampleOf(
  prompt: string,
  { image, video, fps, system }: Flags,
): Promise<ProcessorSample> {
  const content: MessagePart[] = [
    ...image.map((): MessagePart => ({ type: 'image' })),
    ...video.map((): MessagePart => ({ type: 'video' })),
    { type: 'text', text: prompt },
  ];
  const heading =
    system === undefined
      ? []
      : [{ role: 'system', content: [{ type: 'text' as const, text: system }] }];
  return {
    messages: [...heading, { role: 'user', content }],
    images: await Promise.all(image.map((file) => readPicture(file))),
    videos: await Promise.all(video.map((folder) => readVideo(folder, fps))),
  };
}

function assertFits({ length }: ModelInputs, { maxTokens }: Flags, contextWindow: number): void {
  if (length + maxTokens <= contextWindow) return;
  throw new UsageError(
    `generate: prompt and answer must fit the model's ${contextWindow} positions, got ${length} + ${maxTokens} tokens. Lower --max-tokens.`,
  );
}

/** In the stored format, of the prompt and all of the answer but its last token. */
function cachedBytes(
  { config }: VlmSource,
  { inputIds }: ModelInputs,
  { tokens }: Answer,
  bytes: CacheBytes,
): number {
  if (tokens === 0) return 0;
  const vision = inputIds.filter((id) => config.visionTokenIds.includes(id)).length;
  return vision * bytes.vision + (inputIds.length - vision + tokens - 1) * bytes.text;
}

function describe(answer: Answer & { cacheBytes: number }): string {
  const rate = (value: number) => value.toFixed(1);
  const { timeToFirstTokenMs: first } = answer;
  return [
    `${answer.tokens} tokens (${answer.finishReason})`,
    ...(first === undefined ? [] : [`first after ${first.toFixed(0)} ms`]),
    `prefill ${rate(answer.prefillTokensPerSecond)} tokens/s`,
    `decode ${rate(answer.decodeTokensPerSecond)} tokens/s`,
    `cache ${answer.cacheBytes} bytes (${answer.cacheBytesAllocated} held)`,
    `peak memory ${(answer.peakMemoryBytes / 2 ** 20).toFixed(1)} MiB`,
  ].join(', ');
}
