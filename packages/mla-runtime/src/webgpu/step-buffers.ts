/** What passes between the dispatches of a recorded step, of each row of a batch; all layers use it in turn. */
import type { DecoderConfig } from '../decoder-config';
import type { DeviceBuffers } from './device-buffers';
import { type HeadWidths, projectedSize, queryLayout } from './latent-shape';
import { STEP_WORDS } from './wgsl-program';

export interface StepBuffers {
  /** The layer's input and, in the end, its output, [D]. */
  hidden: GPUBuffer;
  /** Between attention and MLP, [D]. */
  attended: GPUBuffer;
  projected: GPUBuffer;
  query: GPUBuffer;
  /** Attention's output before its projection, [N * V]. */
  values: GPUBuffer;
  /** [intermediate]. */
  gated: GPUBuffer;
  /** [cos | sin] of all pairs. */
  angles: GPUBuffer;
  /** The steps of all rows. */
  step: GPUBuffer;
}

export function stepBuffers(
  { hiddenSize, intermediateSize, headDim }: DecoderConfig,
  shapes: readonly HeadWidths[],
  rows: number,
  buffers: DeviceBuffers,
): StepBuffers {
  const largest = (size: (shape: HeadWidths) => number) =>
    buffers.storage(rows * Math.max(...shapes.map(size)));
  return {
    hidden: buffers.storage(rows * hiddenSize),
    attended: buffers.storage(rows * hiddenSize),
    projected: largest(projectedSize),
    query: largest((shape) => queryLayout(shape).size),
    values: largest(({ heads, valueDim }) => heads * valueDim),
    gated: buffers.storage(rows * intermediateSize),
    angles: buffers.storage(rows * headDim),
    step: buffers.storage(rows * STEP_WORDS),
  };
}
