/** Calibration samples in batches: conversations with their answers, or a pre-tokenised file. */
import { type Checkpoint, CheckpointError, quoteName } from '@mha2mla/checkpoint';
import { yieldToEventLoop } from '@mha2mla/mla-runtime';
import type { ModelInputs, Processor, RgbImage } from '@mha2mla/vlm-adapters';
import { answeredBatch } from './answered-batch';
import type { Question } from './question';

/** Samples that run through a layer together: enough to fill a matrix product. */
const BATCH = 16;

/** Options of `calibrationBatches`. */
export interface CalibrationOptions {
  signal?: AbortSignal;
  /** Called after each batch. */
  onProgress?: (progress: { phase: 'calibration'; loaded: number; total: number }) => void;
}

/**
 * Prepare conversations as calibration batches, answers included: their rows look back too.
 * @throws the signal's reason when aborted, heard after each batch.
 */
export async function calibrationBatches(
  processor: Processor,
  questions: readonly Question[],
  { signal, onProgress }: CalibrationOptions = {},
): Promise<ModelInputs[]> {
  const batches: ModelInputs[] = [];
  let loaded = 0;
  for (const part of chunks(questions)) {
    signal?.throwIfAborted();
    batches.push((await answeredBatch(processor, part)).inputs);
    loaded += part.length;
    onProgress?.({ phase: 'calibration', loaded, total: questions.length });
    await yieldToEventLoop();
  }
  signal?.throwIfAborted();
  return batches;
}

/**
 * Prepare a pre-tokenised file: `images` U8 [n, height, width, 3], `input_ids` I32 [n, longest]
 * (-1 = none), `lengths` I32 [n].
 * @param limit most samples that are taken.
 * @throws CheckpointError for a missing tensor, RangeError for shapes that do not fit together.
 */
export async function readCalibrationFile(
  processor: Processor,
  file: Checkpoint,
  limit = Number.POSITIVE_INFINITY,
): Promise<ModelInputs[]> {
  const { count, longest, width, height } = checkShapes(file);
  const ids = await file.readInt32('input_ids');
  const lengths = await file.readInt32('lengths');
  const bytes = await file.readBytes('images');
  const plane = height * width * 3;
  const rows = Array.from({ length: Math.min(count, limit) }, (_, row): Row => {
    const length = lengths[row]!;
    if (length < 1 || length > longest) {
      throw new RangeError(
        `readCalibrationFile: lengths must lie in 1..${longest}, got ${length} for sample ${row}.`,
      );
    }
    const data = bytes.subarray(row * plane, (row + 1) * plane);
    return {
      ids: ids.subarray(row * longest, row * longest + length),
      image: { data, width, height, channels: 3 },
    };
  });
  return chunks(rows).map((part) => padRight(processor, part));
}

function checkShapes({ tensors }: Checkpoint) {
  const find = (name: string) => {
    const info = tensors.get(name);
    if (info) return info;
    throw new CheckpointError(
      'missing-tensor',
      `readCalibrationFile: expected tensors images, input_ids and lengths, got none named ${quoteName(name)}.`,
    );
  };
  const [images, tokens, sizes] = [find('images'), find('input_ids'), find('lengths')];
  const [count = 0, longest = 0] = tokens.shape;
  const [pictures, height = 0, width = 0, channels] = images.shape;
  if (
    images.dtype !== 'U8' ||
    pictures !== count ||
    channels !== 3 ||
    sizes.shape.join() !== `${count}`
  ) {
    throw new RangeError(
      `readCalibrationFile: images must be U8 [n, height, width, 3], input_ids [n, longest] and lengths [n], got ${images.dtype} [${images.shape}], [${tokens.shape}] and [${sizes.shape}].`,
    );
  }
  return { count, longest, width, height };
}

interface Row {
  ids: Int32Array;
  image: RgbImage;
}

function padRight(processor: Processor, rows: readonly Row[]): ModelInputs {
  const length = Math.max(...rows.map(({ ids }) => ids.length));
  const inputIds = new Int32Array(rows.length * length).fill(processor.padTokenId);
  const attentionMask = new Int32Array(rows.length * length);
  for (const [i, { ids }] of rows.entries()) {
    inputIds.set(ids, i * length);
    attentionMask.fill(1, i * length, i * length + ids.length);
  }
  const media = processor.processImages(rows.map(({ image }) => image));
  return { batch: rows.length, length, inputIds, attentionMask, ...media };
}

function chunks<T>(items: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / BATCH) }, (_, i) =>
    items.slice(i * BATCH, (i + 1) * BATCH),
  );
}
