/** What passes between the dispatches of a recorded step; all layers use it in turn. */
import type { DecoderConfig } from '../decoder-config';
import type { DeviceBuffers } from './device-buffers';
import { type HeadWidths, queryLayout } from './latent-shape';
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
  step: GPUBuffer;
}

export function stepBuffers(
  { hiddenSize, intermediateSize, headDim }: DecoderConfig,
  shapes: readonly HeadWidths[],
  buffers: DeviceBuffers,
): StepBuffers {
  const largest = (size: (shape: HeadWidths) => number) =>
    buffers.storage(Math.max(...shapes.map(size)));
  return {
    hidden: buffers.storage(hiddenSize),
    attended: buffers.storage(hiddenSize),
    projected: largest(
      ({ heads, keyHeads, ropeDim, nopeDim, groups, widths }) =>
        heads * (ropeDim + nopeDim) + keyHeads * ropeDim + groups * widths.at(-1)!,
    ),
    query: largest((shape) => queryLayout(shape).size),
    values: largest(({ heads, valueDim }) => heads * valueDim),
    gated: buffers.storage(intermediateSize),
    angles: buffers.storage(headDim),
    step: buffers.create(4 * STEP_WORDS, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST),
  };
}
