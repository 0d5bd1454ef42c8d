/**
 * Load a layer's latent projections in any of the published forms, and bring them to the one form
 * that the attention runs: `down_kv` [C], `up_k`, `up_v` for each segment.
 *
 * - joint: `down_kv`, `up_k`, `up_v` as they are;
 * - split: `down_k` and `down_v` become one latent [c_k | c_v], `up_k` and `up_v` get zeros for
 *   the other's part;
 * - key or value only: the uncompressed side is a latent of its own width, its `up` an identity.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { DecoderConfig } from '../decoder-config';
import { denseProjection } from '../dense-projection';
import { loadProjection } from '../load-projection';
import type { Projection } from '../projection';
import type { WeightReader } from '../weight-reader';
import { headShape } from './head-shape';

const FOLDERS = ['kv_proj', 'kv_proj_img', 'kv_proj_text'];

/** @returns by name below `self_attn.`, or `undefined` when the layer has no latent. */
export async function loadLatentProjections(
  config: DecoderConfig,
  weights: WeightReader,
  index: number,
): Promise<Map<string, Projection> | undefined> {
  const projections = new Map<string, Projection>();
  for (const folder of FOLDERS) {
    const name = `layers.${index}.self_attn.${folder}`;
    const has = (part: string) => weights.shape(`${name}.${part}.weight`) !== undefined;
    if (!has('down_kv') && !has('down_k') && !has('down_v')) continue;
    const parts = has('down_kv')
      ? await loadJoint(config, weights, index, name)
      : await loadSeparate(config, weights, index, name);
    for (const [part, projection] of Object.entries(parts)) {
      projections.set(`${folder}.${part}`, projection);
    }
  }
  return projections.size > 0 ? projections : undefined;
}

type LatentParts = Record<'down_kv' | 'up_k' | 'up_v', Projection>;

async function loadJoint(
  config: DecoderConfig,
  weights: WeightReader,
  index: number,
  name: string,
): Promise<LatentParts> {
  const groups = config.mla!.groups;
  const { keyWidth, valueWidth } = widths(config, index);
  const latent = latentWidth(weights, `${name}.down_kv`);
  if (latent % groups !== 0) {
    throw new RangeError(
      `loadLatentProjections: the latent of ${name} must be a multiple of ${groups} groups, got ${latent}.`,
    );
  }
  return {
    down_kv: await loadProjection(weights, `${name}.down_kv`, [config.hiddenSize, latent]),
    up_k: await loadProjection(weights, `${name}.up_k`, [latent / groups, keyWidth]),
    up_v: await loadProjection(weights, `${name}.up_v`, [latent / groups, valueWidth]),
  };
}

async function loadSeparate(
  config: DecoderConfig,
  weights: WeightReader,
  index: number,
  name: string,
): Promise<LatentParts> {
  if (config.mla!.groups !== 1) {
    throw new RangeError(
      `loadLatentProjections: separate latents of K and V must have 1 group, got ${config.mla!.groups}.`,
    );
  }
  const { keyWidth, valueWidth } = widths(config, index);
  const key = await loadSide(config, weights, name, 'k', keyWidth);
  const value = await loadSide(config, weights, name, 'v', valueWidth);
  const parts = tf.tidy(() => ({
    down: tf.keep(tf.concat([key.down, value.down], 1) as tf.Tensor2D), // [D, Ck + Cv]
    upK: tf.keep(
      tf.pad(key.up, [
        [0, value.up.shape[0]],
        [0, 0],
      ]) as tf.Tensor2D,
    ),
    upV: tf.keep(
      tf.pad(value.up, [
        [key.up.shape[0], 0],
        [0, 0],
      ]) as tf.Tensor2D,
    ),
  }));
  tf.dispose([key.down, key.up, value.down, value.up]);
  return {
    down_kv: denseProjection(parts.down),
    up_k: denseProjection(parts.upK, key.bias),
    up_v: denseProjection(parts.upV, value.bias),
  };
}

interface Side {
  /** [D, C of this side]. */
  down: tf.Tensor2D;
  /** [C of this side, width]. */
  up: tf.Tensor2D;
  bias?: tf.Tensor1D;
}

/** One side's own latent; without a `down` the side is not compressed. */
async function loadSide(
  config: DecoderConfig,
  weights: WeightReader,
  name: string,
  side: 'k' | 'v',
  width: number,
): Promise<Side> {
  const { hiddenSize } = config;
  const compressed = weights.shape(`${name}.down_${side}.weight`) !== undefined;
  const latent = compressed ? latentWidth(weights, `${name}.down_${side}`) : hiddenSize;
  const up = await loadProjection(weights, `${name}.up_${side}`, [latent, width]);
  const bias = up.bias && tf.clone(up.bias);
  const upWeight = up.weight();
  up.dispose();
  if (!compressed) return { down: upWeight, up: tf.eye(width), bias };
  const down = await loadProjection(weights, `${name}.down_${side}`, [hiddenSize, latent]);
  const downWeight = down.weight();
  down.dispose();
  return { down: downWeight, up: upWeight, bias };
}

function widths(config: DecoderConfig, index: number): { keyWidth: number; valueWidth: number } {
  const { numKeyValueHeads, headDim, qkNopeHeadDim } = headShape(config, index);
  return { keyWidth: numKeyValueHeads * qkNopeHeadDim, valueWidth: numKeyValueHeads * headDim };
}

/** Outputs of a down projection, as stored. */
function latentWidth(weights: WeightReader, name: string): number {
  const shape = weights.shape(`${name}.weight`);
  if (shape?.length !== 2) {
    throw new RangeError(
      `loadLatentProjections: ${name}.weight must have two dimensions, got [${shape ?? 'nothing'}].`,
    );
  }
  return shape[0]!;
}
