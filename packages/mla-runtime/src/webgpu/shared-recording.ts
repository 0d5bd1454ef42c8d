/** One recording of a decoder for all its conversations, made anew when its weights change or a batch has more rows. */
import type { Decoder } from '../decoder';
import { type DecoderRecording, recordDecoder } from './record-decoder';

interface Shared {
  device: GPUDevice;
  /** Of a batch, at most. */
  rows: number;
  /** Whose weights were uploaded. */
  weights: readonly object[];
  recording: Promise<DecoderRecording>;
}

const shared = new WeakMap<Decoder, Shared>();

/**
 * The recording of a decoder with f32 weights, which it keeps until {@link forgetRecording}.
 * @throws as `recordDecoder` does, again at each call while the weights are the same.
 */
export async function sharedRecording(
  decoder: Decoder,
  device: GPUDevice,
  rows: number,
): Promise<DecoderRecording> {
  const weights = weightsOf(decoder);
  const found = shared.get(decoder);
  const same = (item: object, i: number) => item === found?.weights[i];
  if (found?.device === device && found.rows >= rows && weights.every(same)) return found.recording;
  forgetRecording(decoder);
  const recording = recordDecoder(decoder, device, { weights: 'f32', groupSize: 32 }, rows);
  shared.set(decoder, { device, rows, weights, recording });
  return recording;
}

/** Free a decoder's recording; conversations over it record anew. */
export function forgetRecording(decoder: Decoder): void {
  const found = shared.get(decoder);
  shared.delete(decoder);
  found?.recording.then(
    ({ buffers }) => buffers.dispose(),
    () => {}, // told to whoever asked for it
  );
}

function weightsOf({ layers, norm, lmHead, embedTokens }: Decoder): object[] {
  const own = layers.flatMap((layer) => [
    ...layer.projections.values(),
    ...Object.values(layer.norms),
  ]);
  return [...own, norm, lmHead, embedTokens];
}
