/** A prepared input from a safetensors file: what `trace --inputs` takes. */
import { assertFinite, type Checkpoint, CheckpointError, quoteName } from '@mha2mla/checkpoint';
import type { MediaInputs, ModelInputs } from '@mha2mla/vlm-adapters';

/**
 * Read `input_ids` [B, L] and, where they are, `attention_mask` [B, L], `pixel_values`,
 * `image_sizes` [pictures, 2], `image_grid_thw` [pictures, 3], `pixel_values_videos`,
 * `video_grid_thw` [videos, 3] and `second_per_grid_ts` [videos]. Positions are computed.
 * @throws CheckpointError for a missing or malformed tensor, RangeError for shapes that do not fit.
 */
export async function readModelInputs(file: Checkpoint): Promise<ModelInputs> {
  const ids = file.tensors.get('input_ids');
  if (!ids) {
    throw new CheckpointError(
      'missing-tensor',
      `readModelInputs: expected input_ids [B, L], got ${[...file.tensors.keys()].slice(0, 5).map(quoteName).join(', ') || 'no tensor'}.`,
    );
  }
  const [batch = 0, length = 0] = ids.shape;
  const mask = file.tensors.get('attention_mask');
  if (
    ids.shape.length !== 2 ||
    ids.shape.includes(0) ||
    (mask && `${mask.shape}` !== `${ids.shape}`)
  ) {
    throw new RangeError(
      `readModelInputs: input_ids must be [B, L] and attention_mask alike, got [${ids.shape}] and [${mask?.shape ?? 'nothing'}].`,
    );
  }
  return {
    batch,
    length,
    inputIds: await file.readInt32('input_ids'),
    attentionMask: mask
      ? checkMask(await file.readInt32('attention_mask'), length)
      : new Int32Array(batch * length).fill(1),
    ...(await readMedia(file)),
  };
}

async function readMedia(file: Checkpoint): Promise<MediaInputs> {
  const pixels = async (name: string) => {
    const info = file.tensors.get(name);
    if (!info) return undefined;
    const data = await file.readFloat32(name);
    assertFinite('readModelInputs', name, data);
    return { data, shape: info.shape };
  };
  const rows = async (name: string, width: number) => {
    const info = file.tensors.get(name);
    if (info && (info.shape.length !== 2 || info.shape[1] !== width)) {
      throw new RangeError(`readModelInputs: ${name} must be [n, ${width}], got [${info.shape}].`);
    }
    return info && file.readInt32(name);
  };
  const seconds = file.tensors.has('second_per_grid_ts');
  const media = {
    pixelValues: await pixels('pixel_values'),
    imageSizes: await rows('image_sizes', 2),
    imageGridThw: await rows('image_grid_thw', 3),
    pixelValuesVideos: await pixels('pixel_values_videos'),
    videoGridThw: await rows('video_grid_thw', 3),
    secondPerGridTs: seconds ? await file.readFloat32('second_per_grid_ts') : undefined,
  };
  return Object.fromEntries(Object.entries(media).filter(([, value]) => value !== undefined));
}

function checkMask(mask: Int32Array, length: number): Int32Array {
  const other = mask.find((value) => value !== 0 && value !== 1);
  if (other !== undefined) {
    throw new RangeError(`readModelInputs: attention_mask must hold 0 and 1, got ${other}.`);
  }
  for (let row = 0; row < mask.length / length; row++) {
    if (mask.subarray(row * length, (row + 1) * length).includes(1)) continue;
    throw new RangeError(`readModelInputs: a row must hold a token, got none in row ${row}.`);
  }
  return mask;
}
