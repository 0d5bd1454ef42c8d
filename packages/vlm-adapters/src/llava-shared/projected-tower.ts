/** CLIP and the projector of two layers behind it: squares to features of the decoder's width. */
import { loadProjection, type Projection, type WeightReader } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import type { EncodeOptions } from '../family';
import { loadOwned } from '../load-owned';
import { clipTensors } from '../vision/clip-tensors';
import { ClipVisionTower } from '../vision/clip-vision-tower';
import type { EncodeSteps } from '../vision/encode-steps';
import type { LlavaConfig } from './llava-config';

const TOWER = 'vision_tower';
const PROJECTOR = 'multi_modal_projector';

export interface ProjectedTower {
  /**
   * @param pixels [squares, 3, imageSize, imageSize], normalised.
   * @returns [squares, patches, D], layer by layer; the caller disposes it.
   */
  encodeSteps(
    pixels: Float32Array,
    squares: number,
    options?: EncodeOptions,
  ): EncodeSteps<tf.Tensor3D>;
  /** See `VisionEncoder`. */
  readonly projections: Map<string, Projection>;
  dispose(): void;
}

/** Weights of tower and projector by our names. */
export function projectedTowerTensors({ clip, source }: LlavaConfig): string[] {
  const parts = source.raw.multimodal_projector_bias === false ? ['weight'] : ['weight', 'bias'];
  const projector = ['linear_1', 'linear_2'].flatMap((layer) =>
    parts.map((part) => `${PROJECTOR}.${layer}.${part}`),
  );
  return [...clipTensors(clip, TOWER), ...projector];
}

/** Load tower and projector. The caller disposes them. */
export function loadProjectedTower(
  { clip, decoder, projectorAct }: LlavaConfig,
  weights: WeightReader,
): Promise<ProjectedTower> {
  const width = decoder.hiddenSize;
  return loadOwned(async (own) => {
    const tower = own(await ClipVisionTower.load(clip, weights, TOWER));
    const { projections } = tower;
    const layers = ['linear_1', 'linear_2'].map((part) => `${PROJECTOR}.${part}`);
    for (const [i, name] of layers.entries()) {
      const widths: [number, number] = [i === 0 ? clip.hiddenSize : width, width];
      projections.set(name, await loadProjection(weights, name, widths));
    }
    const apply = (layer: number, x: tf.Tensor) => projections.get(layers[layer]!)!.apply(x);
    return {
      projections,
      *encodeSteps(pixels, squares, { observe } = {}) {
        const patches = yield* tower.encodeSteps(
          pixels,
          squares,
          observe && ((name, tensor) => observe(`vision.${name}`, tensor)),
        );
        const projected = tf.tidy(() => apply(1, projectorAct(apply(0, patches))) as tf.Tensor3D);
        patches.dispose();
        observe?.('projector_out', projected);
        return projected;
      },
      dispose: () => tower.dispose(),
    };
  });
}
