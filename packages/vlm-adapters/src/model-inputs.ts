/** What a processor gives and a model takes: plain arrays, no tensors. */

import type { RgbImage } from './image/rgb-image';
import type { Message } from './text/message-parts';
import type { TextTokenizer } from './text/tokenizer';

/** Prepared pixels in the family's shape. */
export interface PixelValues {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** Pictures and videos of all rows, in order; a family has those of these that it needs. */
export interface MediaInputs {
  readonly pixelValues?: PixelValues;
  /** [pictures * 2], height and width before processing (LLaVA-NeXT). */
  readonly imageSizes?: Int32Array;
  /** [pictures * 3], patches in time, height and width (Qwen2.5-VL). */
  readonly imageGridThw?: Int32Array;
  readonly pixelValuesVideos?: PixelValues;
  /** [videos * 3], as `imageGridThw`. */
  readonly videoGridThw?: Int32Array;
  /** [videos], seconds from one step of a video's grid to the next. */
  readonly secondPerGridTs?: Float32Array;
}

export interface ModelInputs extends MediaInputs {
  readonly batch: number;
  readonly length: number;
  /** [B * L], image and video tokens repeated. */
  readonly inputIds: Int32Array;
  /** [B * L], 0 where padded. */
  readonly attentionMask: Int32Array;
  /** Tokens that each picture and each video takes, in order. */
  readonly mediaTokens?: { readonly images: readonly number[]; readonly videos: readonly number[] };
}

/** Frames, and how fast they follow one another. */
export interface Video {
  /** In order, all of one size. */
  frames: readonly RgbImage[];
  /** Frames a second. */
  fps: number;
}

/** One conversation with its pictures and videos, each in the order of their places. */
export interface ProcessorSample {
  messages: readonly Message[];
  images: readonly RgbImage[];
  videos?: readonly Video[];
}

/** Turns conversations with their pictures into what a model takes. */
export interface Processor {
  readonly tokenizer: TextTokenizer;
  /** Positions that the model was made for. */
  readonly contextWindow: number;
  readonly padTokenId: number;
  /**
   * Prepare conversations that the model shall continue, left-padded to one length.
   * @throws RangeError when pictures or videos and their places differ in number, or a prompt does
   *   not fit.
   */
  process(samples: readonly ProcessorSample[]): ModelInputs;
  /** Ids of an answer that continues a conversation, end token included. */
  encodeAnswer(messages: readonly Message[], answer: string): number[];
  /** Prepare pictures alone, in the family's shape. */
  processImages(images: readonly RgbImage[]): MediaInputs;
  /** Prepare pictures and videos alone, in the family's shape. */
  processMedia(media: Pick<ProcessorSample, 'images' | 'videos'>): MediaInputs;
}
