/** LLaVA-1.5's processor: every picture is resized and cropped to the tower's square. */
import { type FileStore, readJson } from '@mha2mla/checkpoint';
import { createProcessor, type PreparedMedia } from '../create-processor';
import { type ClipImageProcessor, createClipImageProcessor } from '../image/clip-image-processor';
import type { RgbImage } from '../image/rgb-image';
import type { Processor } from '../model-inputs';
import { loadTextFiles, readOptionalJson } from '../text/load-text-files';
import type { LlavaConfig } from './llava-config';

/** Load tokenizer, template and image processor from a checkpoint's own files. */
export async function loadLlavaProcessor(
  config: LlavaConfig,
  store: FileStore,
): Promise<Processor> {
  const { tokenizer, chatTemplate } = await loadTextFiles(store);
  const { imageSize, patchSize, dropClassToken } = config.clip;
  const processor = createClipImageProcessor(
    (await readOptionalJson(store, 'preprocessor_config.json')) ??
      (await readJson(store, 'processor_config.json')),
  );
  const tokens = Math.floor(imageSize / patchSize) ** 2 + (dropClassToken ? 0 : 1);
  return createProcessor({
    tokenizer,
    chatTemplate,
    imageTokenId: config.imageTokenId,
    padTokenId: tokenizer.padTokenId ?? config.padTokenId ?? tokenizer.eosTokenId ?? 0,
    contextWindow: config.source.text.maxPositionEmbeddings,
    prepareImages: (images) => prepareSquares(processor, images, imageSize, tokens),
  });
}

function prepareSquares(
  processor: ClipImageProcessor,
  images: readonly RgbImage[],
  size: number,
  tokens: number,
): PreparedMedia {
  const plane = 3 * size * size;
  const data = new Float32Array(images.length * plane);
  for (const [i, image] of images.entries()) {
    const { pixelValues, height, width } = processor.process(image);
    if (height !== size || width !== size) {
      throw new RangeError(
        `loadLlavaProcessor: pictures must become ${size} x ${size} by config.json, got ${width} x ${height} by preprocessor_config.json.`,
      );
    }
    data.set(pixelValues, i * plane);
  }
  return {
    inputs: { pixelValues: { data, shape: [images.length, 3, size, size] } },
    tokens: images.map(() => tokens),
  };
}
