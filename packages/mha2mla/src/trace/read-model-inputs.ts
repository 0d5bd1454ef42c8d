/** A prepared input from a safetensors file: what `trace --inputs` takes. */
import { type Checkpoint, CheckpointError } from '@mha2mla/checkpoint';
import type { ModelInputs } from '@mha2mla/vlm-adapters';

/**
 * Read `input_ids` [B, L] and, where they are, `attention_mask` [B, L] and `pixel_values`.
 * @throws CheckpointError for a missing or malformed tensor, RangeError for shapes that do not fit.
 */
export async function readModelInputs(file: Checkpoint): Promise<ModelInputs> {
  const ids = file.tensors.get('input_ids');
  if (!ids) {
    throw new CheckpointError(
      'missing-tensor',
      `readModelInputs: expected input_ids [B, L], got ${[...file.tensors.keys()].slice(0, 5).join(', ') || 'no tensor'}.`,
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
  const pixels = file.tensors.get('pixel_values');
  return {
    batch,
    length,
    inputIds: await file.readInt32('input_ids'),
    attentionMask: mask
      ? checkMask(await file.readInt32('attention_mask'), length)
      : new Int32Array(batch * length).fill(1),
    ...(pixels && {
      pixelValues: { data: await file.readFloat32('pixel_values'), shape: pixels.shape },
    }),
  };
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
