/**
 * A processor from its parts: conversations become token ids by the checkpoint's own template and
 * tokenizer, and each placeholder of a picture is repeated as often as the picture has features.
 */
import { ContextFullError } from '@mha2mla/mla-runtime';
import type { RgbImage } from './image/rgb-image';
import type { MediaInputs, ModelInputs, Processor, ProcessorSample, Video } from './model-inputs';
import type { ChatTemplate } from './text/chat-template';
import type { Message } from './text/message-parts';
import type { TextTokenizer } from './text/tokenizer';

/** Pictures, or videos, as the model takes them. */
export interface PreparedMedia {
  inputs: MediaInputs;
  /** Tokens that each of them takes, in order. */
  tokens: readonly number[];
}

/** What a processor is made of. */
export interface ProcessorParts {
  tokenizer: TextTokenizer;
  chatTemplate: ChatTemplate;
  imageTokenId: number;
  videoTokenId?: number | undefined;
  padTokenId: number;
  /** Positions that the model was made for. */
  contextWindow: number;
  /** Prepare at least one picture. */
  prepareImages(images: readonly RgbImage[]): PreparedMedia;
  /** Prepare at least one video; absent where the family takes none. */
  prepareVideos?(videos: readonly Video[]): PreparedMedia;
}

/** Make a processor; it holds no tensors. */
export function createProcessor(parts: ProcessorParts): Processor {
  const { tokenizer, prepareImages } = parts;
  return {
    tokenizer,
    contextWindow: parts.contextWindow,
    padTokenId: parts.padTokenId,
    process: (samples) => processSamples(parts, samples),
    encodeAnswer: (messages, answer) => encodeAnswer(parts, messages, answer),
    processImages: (images) => prepareImages(images).inputs,
    processMedia: (media) => {
      const { images, videos } = prepareMedia(parts, [media]);
      return { ...images.inputs, ...videos.inputs };
    },
  };
}

function processSamples(
  { padTokenId, ...parts }: ProcessorParts,
  samples: readonly ProcessorSample[],
): ModelInputs {
  if (samples.length === 0) throw new RangeError('process: expected samples, got none.');
  const { images, videos } = prepareMedia(parts, samples);
  const prompts = samples.map((sample, index) => {
    const ids = encodePrompt(parts, sample.messages);
    const media: Placeholders[] = [
      { kind: 'image', id: parts.imageTokenId, tokens: images.tokens[index]! },
      { kind: 'video', id: parts.videoTokenId, tokens: videos.tokens[index]! },
    ];
    for (const each of media) assertPlaces(ids, each, index);
    return { ids, media };
  });
  // Before anything is repeated: files decide how many tokens a picture takes.
  const length = Math.max(...prompts.map(({ ids, media }) => repeatedLength(ids, media)));
  if (length > parts.contextWindow) {
    throw new ContextFullError('process', length, parts.contextWindow);
  }
  const rows = prompts.map(({ ids, media }) =>
    media.reduce<readonly number[]>(repeatPlaceholders, ids),
  );
  const inputIds = new Int32Array(rows.length * length).fill(padTokenId);
  const attentionMask = new Int32Array(rows.length * length);
  for (const [i, row] of rows.entries()) {
    const start = (i + 1) * length - row.length;
    inputIds.set(row, start);
    attentionMask.fill(1, start, (i + 1) * length);
  }
  return {
    batch: rows.length,
    length,
    inputIds,
    attentionMask,
    ...images.inputs,
    ...videos.inputs,
    mediaTokens: { images: images.tokens.flat(), videos: videos.tokens.flat() },
  };
}

type SampleMedia = Pick<ProcessorSample, 'images' | 'videos'>;

function prepareMedia(
  {
    prepareImages,
    prepareVideos = noVideos,
  }: Pick<ProcessorParts, 'prepareImages' | 'prepareVideos'>,
  samples: readonly SampleMedia[],
) {
  return {
    images: prepareAll(samples, ({ images }) => images, prepareImages),
    videos: prepareAll(samples, ({ videos = [] }) => videos, prepareVideos),
  };
}

/** Prepare the media of all samples together; their tokens by sample. */
function prepareAll<T>(
  samples: readonly SampleMedia[],
  mediaOf: (sample: SampleMedia) => readonly T[],
  prepare: (media: readonly T[]) => PreparedMedia,
): { inputs: MediaInputs; tokens: readonly number[][] } {
  const media = samples.map(mediaOf);
  const all = media.flat();
  const { inputs, tokens } = all.length > 0 ? prepare(all) : { inputs: {}, tokens: [] };
  let first = 0;
  const bySample = media.map(({ length }) => {
    first += length;
    return tokens.slice(first - length, first);
  });
  return { inputs, tokens: bySample };
}

function noVideos(videos: readonly Video[]): never {
  throw new RangeError(
    `process: this family takes pictures only, got ${videos.length} videos. Give frames as pictures.`,
  );
}

/** Ids of a conversation and the assistant's heading, one placeholder a picture. */
function encodePrompt(
  { tokenizer, chatTemplate }: Pick<ProcessorParts, 'tokenizer' | 'chatTemplate'>,
  messages: readonly Message[],
): number[] {
  const { text, literal } = chatTemplate.renderLiteral(messages, { addGenerationPrompt: true });
  return tokenizer.encode(text, { literal, addSpecialTokens: !startsWithBos(tokenizer, text) });
}

/** Templates of newer checkpoints print the begin token, which must not stand there twice. */
function startsWithBos({ namedTokens }: TextTokenizer, text: string): boolean {
  const bos = namedTokens.bos_token;
  return bos !== undefined && text.startsWith(bos);
}

/** The pictures, or the videos, of one conversation. */
interface Placeholders {
  kind: 'image' | 'video';
  /** Absent in a family without videos, whose prompts have no place for one. */
  id: number | undefined;
  /** Tokens that each of them takes, in order. */
  tokens: readonly number[];
}

function assertPlaces(ids: readonly number[], media: Placeholders, index: number): void {
  const { kind, id: placeholder, tokens } = media;
  const places = ids.filter((id) => id === placeholder).length;
  if (places === tokens.length) return;
  const name = kind === 'image' ? 'picture' : 'video';
  throw new RangeError(
    `process: a conversation must have a place for each ${name}, got ${places} places and ${tokens.length} ${name}s in sample ${index}. Add {type: '${kind}'} parts, or <${kind}> in the text of a user.`,
  );
}

/** How long a prompt is when all its placeholders are repeated. */
function repeatedLength(ids: readonly number[], media: readonly Placeholders[]): number {
  const tokens = media.flatMap((each) => each.tokens);
  return tokens.reduce((sum, count) => sum + count - 1, ids.length);
}

function repeatPlaceholders(
  ids: readonly number[],
  { id: placeholder, tokens }: Placeholders,
): number[] {
  let next = 0;
  return ids.flatMap((id) =>
    id === placeholder ? new Array<number>(tokens[next++]!).fill(id) : [id],
  );
}

/**
 * What the template adds when the answer follows the conversation, cut or completed at the end
 * token. Encoded with the prompt before it, so that a token may look at what precedes it.
 */
function encodeAnswer(
  { tokenizer, chatTemplate }: ProcessorParts,
  messages: readonly Message[],
  answer: string,
): number[] {
  const spoken = [
    ...messages,
    { role: 'assistant', content: [{ type: 'text' as const, text: answer }] },
  ];
  const prompt = chatTemplate.renderLiteral(messages, { addGenerationPrompt: true });
  const whole = chatTemplate.renderLiteral(spoken);
  if (!whole.text.startsWith(prompt.text)) {
    throw new RangeError(
      'encodeAnswer: a chat template must keep the prompt when an answer follows it, got another beginning.',
    );
  }
  const { eosTokenId } = tokenizer;
  const eos = eosTokenId === undefined ? undefined : tokenizer.token(eosTokenId);
  const added = whole.text.slice(prompt.text.length);
  // An end token that the answer itself spells is literal text, so the last one is the template's.
  const end = eos === undefined ? -1 : added.lastIndexOf(eos);
  const text = prompt.text + (end >= 0 ? added.slice(0, end) : added.trimEnd());
  const literal = whole.literal.filter(([, stop]) => stop <= text.length);
  const addSpecialTokens = !startsWithBos(tokenizer, text);
  const encode = (part: string) => tokenizer.encode(part, { literal, addSpecialTokens });
  const promptIds = tokenizer.encode(prompt.text, { literal: prompt.literal, addSpecialTokens });
  const ids = encode(text);
  const joined = promptIds.every((id, i) => ids[i] === id);
  if (!joined) {
    throw new RangeError(
      'encodeAnswer: the tokens of a prompt must not change when an answer follows, got a tokenizer that merges across.',
    );
  }
  const own = ids.slice(promptIds.length);
  return eosTokenId === undefined ? own : [...own, eosTokenId];
}
