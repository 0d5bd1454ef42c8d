import type { CacheBytes } from '@mha2mla/mla-runtime';
import {
  ChatSession,
  type Message,
  type MessagePart,
  type ModelInputs,
  type ProcessorSample,
} from '@mha2mla/vlm-adapters';
import type { Command } from 'commander';
import { DEFAULT_FPS } from '../../data/video-files';
import { readPicture, readVideo } from '../../node/load-data';
import { withModelFolder } from '../../node/open-model';
import { cacheSetting } from '../cache-setting';
import type { CommonFlags } from '../context';
import { converse } from '../converse';
import { collect, integer, nonNegative, positive } from '../option-values';
import { printable } from '../printable';
import type { AddCommand } from '../program';
import { sizeText } from '../quantities';
import { assertAsked, type PromptFlags, readPrompts } from '../read-prompts';
import {
  type AdapterFlags,
  addAdapterOption,
  addCacheOptions,
  addMediaOptions,
  addRunOptions,
  addWeightsOption,
  type CacheFlags,
  type MediaFlags,
  type RunFlags,
  type WeightFlags,
} from '../shared-options';
import type { Answer } from '../stream-answer';
import { textMessage } from '../text-message';
import { UsageError } from '../usage-error';
import { withModel } from '../with-model';

interface Flags
  extends PromptFlags,
    RunFlags,
    MediaFlags,
    AdapterFlags,
    CacheFlags,
    WeightFlags,
    CommonFlags {
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
  recorded: boolean;
}

type ShownAnswer = Omit<Answer, 'cachedTokens'> & { cacheBytes: number };

/** `generate MODEL`: answers about pictures and videos, as they come. */
export const addGenerate: AddCommand = (program, contextOf, { stdin, stdout }) => {
  addGenerateOptions(program.command('generate <model>'))
    .description('answer a prompt, word by word, and further ones in the same conversation')
    .addHelpText(
      'after',
      '\nExample:\n  mha2mla generate MODEL --image cat.png --prompt "What is in the picture?"',
    )
    .action((folder: string, flags: Flags) => {
      const context = contextOf(flags);
      const { terminal, signal, json, result } = context;
      assertAsked(flags);
      return withModelFolder(folder, flags, async (source) => {
        const { cache, report } = cacheSetting(source, flags);
        const processor = await source.family.loadProcessor(source.config, source.store);
        const prompts = readPrompts(flags, stdin, signal);
        const { value: first } = await prompts.next();
        if (first === undefined) throw new UsageError('generate: expected a prompt, got none.');
        const sample = await sampleOf(first, flags);
        assertFits(processor.process([sample]), flags, processor.contextWindow);
        const shown = stdout.isTTY ? printable : (text: string) => text;
        const answers: ShownAnswer[] = [];
        await withModel(source, flags, context, async (model) => {
          const session = new ChatSession(model, processor, { cache });
          const { seed, temperature, topK, topP, minP, repetitionPenalty, maxTokens, stop } = flags;
          const { recorded } = flags;
          const options = {
            ...{ seed, temperature, topK, topP, minP, repetitionPenalty, maxTokens, stop, signal },
            recorded,
            onProgress: terminal.progress,
            emit: json ? () => {} : (text: string) => terminal.write(shown(text)),
          };
          terminal.progress({ phase: 'prefill', loaded: 0, total: model.decoder.layers.length });
          try {
            for await (const answer of converse(session, sample, prompts, options)) {
              const { cachedTokens, ...rest } = answer;
              const cacheBytes = storedBytes(cachedTokens, report.cacheBytesByModality);
              answers.push({ ...rest, cacheBytes });
              if (!json) terminal.write('\n');
              if (!json && flags.stats) terminal.log(describe({ ...rest, cacheBytes }));
            }
          } finally {
            await session.dispose();
          }
        });
        const last = answers.at(-1);
        if (json) result(answers.length === 1 ? last : { ...last, answers }, String);
        signal.throwIfAborted();
      });
    });
};

function addGenerateOptions(command: Command): Command {
  return addCacheOptions(
    addMediaOptions(addAdapterOption(addWeightsOption(addRunOptions(command)))),
  )
    .option(
      '--prompt <text>',
      'what is asked; - reads standard input; may be given several times, one turn each',
      collect,
      [],
    )
    .option('--chat', 'then take each line of standard input for a further turn')
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
    .option('--no-recorded', 'decode op by op on webgpu too')
    .option('--stats', 'speed, memory and cache bytes on standard error');
}

async function sampleOf(
  prompt: string,
  { image, video, fps, system }: Flags,
): Promise<ProcessorSample & { messages: Message[] }> {
  const content: MessagePart[] = [
    ...image.map((): MessagePart => ({ type: 'image' })),
    ...video.map((): MessagePart => ({ type: 'video' })),
    { type: 'text', text: prompt },
  ];
  const heading = system === undefined ? [] : [textMessage('system', system)];
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

/** In the stored format. */
function storedBytes({ vision, text }: Answer['cachedTokens'], bytes: CacheBytes): number {
  return vision * bytes.vision + text * bytes.text;
}

function describe(answer: ShownAnswer): string {
  const rate = (value: number) => value.toFixed(1);
  const { timeToFirstTokenMs: first, decodedBy } = answer;
  return [
    `${answer.tokens} tokens (${answer.finishReason})`,
    ...(first === undefined ? [] : [`first after ${first.toFixed(0)} ms`]),
    `prefill ${rate(answer.prefillTokensPerSecond)} tokens/s`,
    `decode ${rate(answer.decodeTokensPerSecond)} tokens/s${decodedBy ? ` (${decodedBy})` : ''}`,
    `cache ${answer.cacheBytes} bytes (${answer.cacheBytesAllocated} held)`,
    `peak memory ${sizeText(answer.peakMemoryBytes)}`,
  ].join(', ');
}
