/** LLaVA-1.5's pictures: every one is resized and cropped to the tower's square. */
import type { ProcessorParts } from '../create-processor';
import { createClipImageProcessor } from '../image/clip-image-processor';
import type { LlavaConfig } from '../llava-shared/llava-config';

/** @param json the parsed configuration of the image processor. */
export function prepareSquares(
  { clip }: LlavaConfig,
  json: unknown,
): ProcessorParts['prepareImages'] {
  const { imageSize: size, patchSize, dropClassToken } = clip;
  const processor = createClipImageProcessor(json);
  const tokens = Math.floor(size / patchSize) ** 2 + (dropClassToken ? 0 : 1);
  const plane = 3 * size * size;
  return (images) => {
    const data = new Float32Array(images.length * plane);
    for (const [i, image] of images.entries()) {
      const { pixelValues, height, width } = processor.process(image);
      if (height !== size || width !== size) {
        throw new RangeError(
          `prepareSquares: pictures must become ${size} x ${size} by config.json, got ${width} x ${height} by preprocessor_config.json.`,
        );
      }
      data.set(pixelValues, i * plane);
    }
    return {
      inputs: { pixelValues: { data, shape: [images.length, 3, size, size] } },
      tokens: images.map(() => tokens),
    };
  };
}
