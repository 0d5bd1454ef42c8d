/** LLaVA-1.5's pictures: every one is resized and cropped to the tower's square. */
import type { ProcessorParts } from '../create-processor';
import { createClipImageProcessor } from '../image/clip-image-processor';
import type { ImageSize } from '../image/clip-image-processor-config';
import type { LlavaConfig } from '../llava-shared/llava-config';

/**
 * @param json the parsed configuration of the image processor; it must suit config.json.
 * @throws TypeError, RangeError naming the key, before any picture
 */
export function prepareSquares(
  { clip }: LlavaConfig,
  json: unknown,
): ProcessorParts['prepareImages'] {
  const { imageSize: size, patchSize, dropClassToken } = clip;
  const processor = createClipImageProcessor(json);
  assertSquare(processor.outputSize, size);
  const tokens = Math.floor(size / patchSize) ** 2 + (dropClassToken ? 0 : 1);
  const plane = 3 * size * size;
  return (images) => {
    const data = new Float32Array(images.length * plane);
    for (const [i, image] of images.entries()) {
      data.set(processor.process(image).pixelValues, i * plane);
    }
    return {
      inputs: { pixelValues: { data, shape: [images.length, 3, size, size] } },
      tokens: images.map(() => tokens),
    };
  };
}

function assertSquare(output: ImageSize | undefined, size: number): void {
  if (output?.height === size && output.width === size) return;
  const found = output ? `${output.width} x ${output.height}` : 'a size that changes';
  throw new RangeError(
    `prepareSquares: pictures must become ${size} x ${size} by config.json, got ${found} by crop_size and size of the image processor.`,
  );
}
