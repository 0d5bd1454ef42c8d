/**
 * A projection is a linear map with a bias, as a value: dense here, wrapped by an adapter in
 * `peft`, quantized elsewhere. Everything that multiplies by a weight takes one of these.
 */
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';

/** A linear map, however its weight is kept. */
export interface Projection {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** Map x [..., inFeatures] to [..., outFeatures], bias included. The caller disposes the result. */
  apply(x: Tensor): Tensor;
  /** The dense weight [inFeatures, outFeatures]; the caller disposes it. */
  weight(): Tensor2D;
  /** [outFeatures]; owned by the projection. */
  readonly bias?: Tensor1D;
  /** Frees the weight and the bias. */
  dispose(): void;
}

/** The projection of that name. @throws if there is none. */
export function projectionOf(
  projections: ReadonlyMap<string, Projection>,
  name: string,
): Projection {
  const projection = projections.get(name);
  if (!projection) {
    throw new Error(
      `projectionOf: expected a projection "${name}", got ${[...projections.keys()].join(', ')}.`,
    );
  }
  return projection;
}
