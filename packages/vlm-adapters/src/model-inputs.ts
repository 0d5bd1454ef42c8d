/** What a processor gives and a model takes: plain arrays, no tensors. */

import type { RgbImage } from './image/rgb-image';
import type { Message } from './text/message-parts';
import type { TextTokenizer } from './text/tokenizer';

export interface ModelInputs {
  readonly batch: number;
  readonly length: number;
  /** [B * L], image tokens repeated. */
  readonly inputIds: Int32Array;
  /** [B * L], 0 where padded. */
  readonly attentionMask: Int32Array;
  /** Pictures of all rows in order, in the family's shape. */
  readonly pixelValues?: { readonly data: Float32Array; readonly shape: readonly number[] };
}

/** One conversation and its pictures, in the order of their places. */
export interface ProcessorSample {
  messages: readonly Message[];
  images: readonly RgbImage[];
}

export interface Processor {
  readonly tokenizer: TextTokenizer;
  /** Positions that the model was made for. */
  readonly contextWindow: number;
  readonly padTokenId: number;
  /**
   * Prepare conversations that the model shall continue, left-padded to one length.
   * @throws RangeError when pictures and their places differ in number, or a prompt does not fit.
   */
  process(samples: readonly ProcessorSample[]): ModelInputs;
  /** Ids of an answer that continues a conversation, end token included. */
  encodeAnswer(messages: readonly Message[], answer: string): number[];
  /** Prepare pictures alone, in the family's shape. */
  processImages(images: readonly RgbImage[]): NonNullable<ModelInputs['pixelValues']>;
}
