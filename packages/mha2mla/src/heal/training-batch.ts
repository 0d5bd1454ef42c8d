/**
 * Rows of an update: questions about a picture with their answers, and, for what the original makes
 * of them alone, questions about pictures that nobody has asked them of.
 */
import type { Processor, RgbImage, VlmSource } from '@mha2mla/vlm-adapters';
import { flipImage } from '../data/flip-image';
import { joinImages } from '../data/join-images';
import type { Media, Question } from '../data/question';
import { type PackedReferences, packReferences } from '../evaluate/pack-references';

export interface TrainingBatchOptions {
  /** So many rows, from the first, are asked of other pictures, and have no labels. */
  mixed: number;
  /** Rows whose pictures these are taken of. */
  others: readonly (readonly Question[])[];
  random: () => number;
}

const NO_LABEL = -1;

/** Pack rows; labels of mixed ones are -1. */
export async function trainingBatch(
  source: Pick<VlmSource, 'family' | 'config'>,
  processor: Processor,
  rows: readonly (readonly Question[])[],
  { mixed, others, random }: TrainingBatchOptions,
): Promise<PackedReferences> {
  const seen: Question[][] = [];
  const isMixed: boolean[] = [];
  for (const [i, row] of rows.entries()) {
    const own = await row[0]!.loadMedia();
    const media = i < mixed ? await mixedMedia(own, others, random) : undefined;
    isMixed.push(media !== undefined);
    seen.push(row.map((question) => ({ ...question, loadMedia: async () => media ?? own })));
  }
  const packed = await packReferences(source, processor, seen);
  let [question, token] = [0, 0];
  for (const [i, row] of seen.entries()) {
    const lengths = packed.answerLengths.slice(question, question + row.length);
    const end = lengths.reduce((sum, length) => sum + length, token);
    if (isMixed[i]) packed.labels.fill(NO_LABEL, token, end);
    [question, token] = [question + row.length, end];
  }
  return packed;
}

/**
 * New pictures in the place of `own`, if these are pictures: of each the half of one training
 * picture and the half of another, both turned over at random.
 */
async function mixedMedia(
  own: Media,
  others: TrainingBatchOptions['others'],
  random: () => number,
): Promise<Media | undefined> {
  if (own.images.length === 0 || (own.videos?.length ?? 0) > 0) return undefined;
  const drawn: RgbImage[] = [];
  for (const image of own.images) {
    const [first, second] = [await drawnImage(others, random), await drawnImage(others, random)];
    const next = first ?? image;
    drawn.push(joinImages(next, second ?? image, { vertical: random() < 0.5 }));
  }
  return { ...own, images: drawn };
}

async function drawnImage(
  others: TrainingBatchOptions['others'],
  random: () => number,
): Promise<RgbImage | undefined> {
  const row = others[Math.floor(random() * others.length)]!;
  const { images } = await row[0]!.loadMedia();
  const image = images[Math.floor(random() * images.length)];
  return image && flipImage(image, { horizontal: random() < 0.5, vertical: random() < 0.5 });
}
