/** Linear maps and the gated MLP as dispatches of a recorded step, over the buffers of their weights. */
import { type MatVecShape, matVec } from '../kernels/mat-vec';
import type { Projection } from '../projection';
import type { DeviceBuffers } from './device-buffers';
import { type Dispatch, dispatchOfProgram } from './dispatch';
import { floats } from './floats';
import { isSameForm, type WeightFormat } from './weight-format';
import { packDense, weightParts } from './weight-parts';

export interface WeightOptions {
  weights: WeightFormat;
  /** Inputs that share a scale, of int8 and int4. */
  groupSize: number;
}

/** A linear map, or several of one input side by side, biases included; a dispatch a part of it. */
export async function recordLinear(
  buffers: DeviceBuffers,
  from: Projection | readonly Projection[],
  options: WeightOptions,
  part: Partial<MatVecShape>,
  y: GPUBuffer,
  x: GPUBuffer,
  rest: readonly GPUBuffer[],
): Promise<Dispatch[]> {
  const maps = (Array.isArray(from) ? from : [from]) as readonly Projection[];
  const inputs = maps[0]!.inFeatures;
  const { parts, ...packing } = await weightParts(buffers, maps, options);
  const bias = maps.some((map) => map.bias) ? [buffers.upload(await joinedBias(maps))] : [];
  const total = parts.reduce((sum, { outputs }) => sum + outputs, 0);
  const shape = { inputs, ...packing, total, bias: bias.length > 0, ...part };
  return parts.map(({ first, outputs, buffers: weight }) =>
    dispatchOfProgram(buffers.device, matVec({ ...shape, first, outputs }), [
      y,
      x,
      ...weight,
      ...bias,
      ...rest,
    ]),
  );
}

/** silu(gate x) * up x, of a normed x. */
export async function recordGated(
  buffers: DeviceBuffers,
  [gate, up]: readonly [Projection, Projection],
  options: WeightOptions,
  inputs: number,
  normEps: number,
  [y, x, gain]: readonly [GPUBuffer, GPUBuffer, GPUBuffer],
): Promise<Dispatch[]> {
  if (gate.bias || up.bias) {
    throw new TypeError('recordLayer: gate_proj and up_proj must have no bias, got one.');
  }
  let gates = await weightParts(buffers, [gate], options);
  let ups = await weightParts(buffers, [up], options);
  if (!isSameForm(gates, ups)) {
    gates = await packDense(buffers, [gate], options);
    ups = await packDense(buffers, [up], options);
  }
  const { parts, ...packing } = gates;
  return parts.map(({ first, outputs, buffers: weight }, i) => {
    const total = gate.outFeatures;
    const program = matVec({ inputs, first, outputs, total, ...packing, gated: true, normEps });
    const bound = [y, x, ...weight, ...ups.parts[i]!.buffers, gain];
    return dispatchOfProgram(buffers.device, program, bound);
  });
}

async function joinedBias(maps: readonly Projection[]): Promise<Float32Array> {
  const parts = await Promise.all(
    maps.map(async ({ bias, outFeatures }) =>
      bias ? floats(bias) : new Float32Array(outFeatures),
    ),
  );
  return Float32Array.from(parts.flatMap((part) => [...part]));
}
