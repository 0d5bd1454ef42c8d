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
import { allOrNothing } from '../all-or-nothing';
import type { DecoderConfig } from '../decoder-config';
import { denseProjection } from '../dense-projection';
import { loadProjection } from '../load-projection';
import { packProjection } from '../packed/pack-projection';
import type { WeightPacking } from '../packed/packed-matrix';
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
  return allOrNothing(async (own) => {
    const projections = new Map<string, Projection>();
    for (const folder of FOLDERS) {
      const name = `layers.${index}.self_attn.${folder}`;
      const has = (part: string) => weights.shape(`${name}.${part}.weight`) !== undefined;
      if (!has('down_kv') && !has('down_k') && !has('down_v')) continue;
      const load = has('down_kv') ? loadJoint : loadSeparate;
      const parts = await load(config, weights, index, name);
      for (const [part, projection] of Object.entries(parts)) {
        projections.set(`${folder}.${part}`, own(projection));
      }
    }
    checkFolders(projections, index);
    return projections.size > 0 ? projections : undefined;
  });
}

/** A latent is shared, or there is one for each modality. @throws RangeError */
function checkFolders(projections: ReadonlyMap<string, Projection>, index: number): void {
  const found = FOLDERS.filter((folder) => projections.has(`${folder}.down_kv`));
  const expected = ['', 'kv_proj', 'kv_proj_img,kv_proj_text'];
  if (!expected.includes(found.join())) {
    throw new RangeError(
      `loadLatentProjections: layer ${index} must have kv_proj, or both of kv_proj_img and kv_proj_text, got ${found.join(', ')}.`,
    );
  }
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
  return allOrNothing(async (own) => ({
    down_kv: own(await loadProjection(weights, `${name}.down_kv`, [config.hiddenSize, latent])),
    up_k: own(await loadUp(weights, `${name}.up_k`, [latent / groups, keyWidth])),
    up_v: own(await loadUp(weights, `${name}.up_v`, [latent / groups, valueWidth])),
  }));
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
  // Joined first and packed then, so that what is joined was rounded once.
  const dense: WeightReader = {
    shape: (part) => weights.shape(part),
    read: (part, expected) => weights.read(part, expected),
  };
  const [key, value] = await allOrNothing(async (own) => [
    own(await loadSide(config, dense, name, 'k', keyWidth)),
    own(await loadSide(config, dense, name, 'v', valueWidth)),
  ]);
  const parts = {
    down_kv: joinDowns(key!, value!),
    up_k: denseProjection(padRows(key!.up, 0, value!.up.inFeatures), copy(key!.up.bias)),
    up_v: denseProjection(padRows(value!.up, key!.up.inFeatures, 0), copy(value!.up.bias)),
  };
  key!.dispose();
  value!.dispose();
  const { packing } = weights;
  return packing ? packParts(parts, packing) : parts;
}

async function packParts(parts: LatentParts, packing: WeightPacking): Promise<LatentParts> {
  const dense = Object.values(parts);
  return allOrNothing(async (own) => {
    for (const part of dense) own(part);
    const pack = async (part: Projection) => own(await packProjection(part, packing));
    return {
      down_kv: await pack(parts.down_kv),
      up_k: await pack(parts.up_k),
      up_v: await pack(parts.up_v),
    };
  });
}

interface Side {
  /** D to C of this side. */
  down: Projection;
  /** C of this side to the width of its keys or values. */
  up: Projection;
  dispose(): void;
}

/** One side's own latent; without a `down` the side is not compressed. */
async function loadSide(
  { hiddenSize }: DecoderConfig,
  weights: WeightReader,
  name: string,
  side: 'k' | 'v',
  width: number,
): Promise<Side> {
  const compressed = weights.shape(`${name}.down_${side}.weight`) !== undefined;
  const latent = compressed ? latentWidth(weights, `${name}.down_${side}`) : hiddenSize;
  return allOrNothing(async (own) => {
    const up = own(await loadUp(weights, `${name}.up_${side}`, [latent, width]));
    if (!compressed) return uncompressedSide(up);
    const down = own(await loadProjection(weights, `${name}.down_${side}`, [hiddenSize, latent]));
    return sideOf(down, up);
  });
}

/** The bias stays on the way up: in the latent it would widen the range that is quantized. */
function uncompressedSide(whole: Projection): Side {
  const up = denseProjection(tf.eye(whole.outFeatures), copy(whole.bias));
  const down = denseProjection(whole.weight());
  whole.dispose();
  return sideOf(down, up);
}

function sideOf(down: Projection, up: Projection): Side {
  return {
    down,
    up,
    dispose: () => {
      down.dispose();
      up.dispose();
    },
  };
}

/** An up projection; one of no outputs (all pairs are turned) need not be stored. */
async function loadUp(
  weights: WeightReader,
  name: string,
  widths: readonly [number, number],
): Promise<Projection> {
  if (widths[1] === 0) return denseProjection(tf.zeros([widths[0], 0]));
  return loadProjection(weights, name, widths);
}

/** [D, Ck + Cv], with the biases that the two have. */
function joinDowns({ down: key }: Side, { down: value }: Side): Projection {
  const biasOf = (side: Projection) => side.bias ?? tf.zeros<tf.Rank.R1>([side.outFeatures]);
  const weight = tf.tidy(() => tf.concat([key.weight(), value.weight()], 1));
  const hasBias = key.bias !== undefined || value.bias !== undefined;
  return denseProjection(
    weight,
    hasBias ? tf.tidy(() => tf.concat([biasOf(key), biasOf(value)])) : undefined,
  );
}

/** The weight of `up` between rows of zeros. */
function padRows(up: Projection, before: number, after: number): tf.Tensor2D {
  return tf.tidy(
    () =>
      tf.pad(up.weight() as tf.Tensor2D, [
        [before, after],
        [0, 0],
      ]) as tf.Tensor2D,
  );
}

function copy(bias: tf.Tensor1D | undefined): tf.Tensor1D | undefined {
  return bias && tf.clone(bias);
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
