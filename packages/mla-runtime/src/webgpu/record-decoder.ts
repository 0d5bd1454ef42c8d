/**
 * A decoder's weights on the device, and the dispatches of a step that do not depend on what is
 * cached. Conversations share it: their steps come one after another in the device's queue.
 */
import type { Decoder } from '../decoder';
import { lookupRow } from '../kernels/lookup-row';
import { type EmbeddingTable, isTensor } from '../lookup-embeddings';
import type { DeviceMatrix } from '../packed/device-matrix';
import { commonSegments } from './attention-form';
import { DeviceBuffers } from './device-buffers';
import { throwFailure } from './device-failure';
import { type Dispatch, dispatchOfProgram } from './dispatch';
import { floats } from './floats';
import { headWidths, type LayerRecording, recordLayer } from './record-layer';
import { recordLinear, type WeightOptions } from './record-linear';
import { type StepBuffers, stepBuffers } from './step-buffers';
import type { WeightParts } from './weight-parts';

export interface DecoderRecording {
  buffers: DeviceBuffers;
  step: StepBuffers;
  /** Of a batch, at most. */
  rows: number;
  /** [rows], u32. */
  token: GPUBuffer;
  /** [rows, vocabulary]. */
  logits: GPUBuffer;
  lookup: readonly Dispatch[];
  layers: readonly LayerRecording[];
  head: readonly Dispatch[];
}

/**
 * Upload weights and bind them, for steps of up to `rows` rows; the caller disposes the buffers.
 * @throws TypeError for a form of attention that there are no programs for; RangeError for a weight
 *   beyond a binding or what memory there is; Error with what the device reports.
 */
export async function recordDecoder(
  decoder: Decoder,
  device: GPUDevice,
  options: WeightOptions,
  rows = 1,
): Promise<DecoderRecording> {
  commonSegments(decoder.layers); // throws before any work
  const buffers = new DeviceBuffers(device);
  device.pushErrorScope('out-of-memory');
  let recording: DecoderRecording | undefined;
  let failure: unknown;
  try {
    recording = await record(decoder, buffers, options, rows);
    throwFailure(device); // what follows from memory that is out is told here, too
  } catch (error) {
    failure = error;
  }
  const lack = await device.popErrorScope();
  if (recording && !failure && !lack) return recording;
  buffers.dispose();
  if (!lack) throw failure;
  throw new RangeError(
    `recordDecoder: the device must have memory for a copy of the weights, got "${lack.message}". Decode with Decoder.decode.`,
    { cause: failure },
  );
}

async function record(
  decoder: Decoder,
  buffers: DeviceBuffers,
  options: WeightOptions,
  rows: number,
): Promise<DecoderRecording> {
  const { device } = buffers;
  const { config, layers, lmHead } = decoder;
  const { vocabSize, hiddenSize, rmsNormEps: normEps } = config;
  const widths = layers.map((layer, i) => headWidths(config, layer, i));
  const step = stepBuffers(config, widths, rows, buffers);
  const token = buffers.storage(rows);
  const logits = buffers.storage(rows * vocabSize);
  // The largest weights first: where they do not fit, nothing else is uploaded.
  const table = await tableParts(decoder.embedTokens, buffers);
  const lookup = table.parts.map(({ buffers: rows, ...part }) => {
    const program = lookupRow({ ...table, ...part, width: hiddenSize });
    return dispatchOfProgram(device, program, [step.hidden, token, ...rows]);
  });
  const norm = [buffers.upload(await floats(decoder.norm))];
  const head = await recordLinear(buffers, lmHead, options, { normEps }, logits, step.hidden, norm);
  const recorded: LayerRecording[] = [];
  for (const [i, layer] of layers.entries()) {
    recorded.push(await recordLayer(config, layer, i, step, buffers, options));
  }
  return { buffers, step, rows, token, logits, lookup, layers: recorded, head };
}

/** Embeddings to look up in: those that are packed as they are, others in f32. */
async function tableParts(table: EmbeddingTable, buffers: DeviceBuffers): Promise<WeightParts> {
  if (!isTensor(table)) return table as DeviceMatrix;
  const part = {
    first: 0,
    outputs: table.shape[0],
    buffers: [buffers.upload(await floats(table))],
  };
  return { format: 'f32', groupSize: 0, parts: [part] };
}
