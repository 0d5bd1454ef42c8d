/**
 * The vision transformer of CLIP (Radford et al. 2021): patch and position embeddings, a class
 * token, pre-norm layers. The last hidden state that is asked for is returned unnormalised.
 */
import {
  denseProjection,
  loadProjection,
  type Projection,
  type WeightReader,
} from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import { loadOwned } from '../load-owned';
import type { ClipConfig } from './clip-config';
import { type LayerNorm, loadLayerNorm } from './layer-norm';
import { patchify } from './patchify';
import { selfAttention } from './self-attention';

type Observe = (name: string, tensor: tf.Tensor) => void;

interface ClipLayer {
  norm1: LayerNorm;
  norm2: LayerNorm;
  projections: Record<'q' | 'k' | 'v' | 'out' | 'fc1' | 'fc2', Projection>;
}

export class ClipVisionTower {
  private constructor(
    private readonly config: ClipConfig,
    private readonly patchEmbedding: Projection,
    /** [1, 1, D] and [1, 1 + patches, D]. */
    private readonly classEmbedding: tf.Tensor3D,
    private readonly positions: tf.Tensor3D,
    private readonly preNorm: LayerNorm,
    private readonly layers: readonly ClipLayer[],
  ) {}

  /**
   * @param prefix where the tower's weights stand, such as `vision_tower`.
   * @returns a tower that the caller disposes.
   */
  static load(config: ClipConfig, weights: WeightReader, prefix: string): Promise<ClipVisionTower> {
    const { hiddenSize: width, imageSize, patchSize, layerNormEps } = config;
    const tokens = 1 + Math.floor(imageSize / patchSize) ** 2;
    return loadOwned(async (own) => {
      const patchEmbedding = own(await loadPatchEmbedding(config, weights, prefix));
      const embedding = async (part: string, shape: number[], batched: [number, number, number]) =>
        own(tf.tensor3d(await weights.read(`${prefix}.embeddings.${part}`, shape), batched));
      const classEmbedding = await embedding('class_embedding', [width], [1, 1, width]);
      const positions = await embedding(
        'position_embedding.weight',
        [tokens, width],
        [1, tokens, width],
      );
      // The checkpoints' own spelling.
      const norm = own(await loadLayerNorm(weights, `${prefix}.pre_layrnorm`, width, layerNormEps));
      const layers: ClipLayer[] = [];
      for (let i = 0; i < config.numHiddenLayers; i++) {
        layers.push(await loadLayer(config, weights, `${prefix}.encoder.layers.${i}`, own));
      }
      return new ClipVisionTower(config, patchEmbedding, classEmbedding, positions, norm, layers);
    });
  }

  /**
   * @param pixels [pictures, 3, imageSize, imageSize], normalised.
   * @param observe gets `pre_layrnorm` and `layer.I`; with it, layers beyond the used one run too.
   * @returns [pictures, patches (+ 1 with the class token), D]; the caller disposes it.
   */
  encode(pixels: Float32Array, pictures: number, observe?: Observe): tf.Tensor3D {
    const { featureLayers, dropClassToken } = this.config;
    return tf.tidy(() => {
      let hidden = this.embed(pixels, pictures);
      observe?.('pre_layrnorm', hidden);
      let feature = hidden;
      const last = observe ? this.layers.length : featureLayers;
      for (let i = 0; i < last; i++) {
        hidden = this.runLayer(this.layers[i]!, hidden);
        observe?.(`layer.${i}`, hidden);
        if (i + 1 === featureLayers) feature = hidden;
      }
      return dropClassToken ? tf.slice(feature, [0, 1, 0]) : tf.clone(feature);
    });
  }

  dispose(): void {
    this.patchEmbedding.dispose();
    this.preNorm.dispose();
    tf.dispose([this.classEmbedding, this.positions]);
    for (const { norm1, norm2, projections } of this.layers) {
      for (const part of [norm1, norm2, ...Object.values(projections)]) part.dispose();
    }
  }

  private embed(pixels: Float32Array, pictures: number): tf.Tensor3D {
    const { imageSize, patchSize } = this.config;
    const patches = tf.tensor3d(...patchify(pixels, pictures, imageSize, patchSize));
    const embedded = this.patchEmbedding.apply(patches) as tf.Tensor3D;
    const classTokens = tf.tile(this.classEmbedding, [pictures, 1, 1]);
    const tokens = tf.concat([classTokens, embedded], 1);
    return this.preNorm.apply(tf.add(tokens, this.positions) as tf.Tensor3D);
  }

  private runLayer({ norm1, norm2, projections }: ClipLayer, x: tf.Tensor3D): tf.Tensor3D {
    const { q, k, v, out, fc1, fc2 } = projections;
    const [pictures, tokens] = x.shape;
    return tf.tidy(() => {
      const input = norm1.apply(x);
      const heads = (projection: Projection) =>
        tf.reshape(projection.apply(input), [
          pictures,
          tokens,
          this.config.numAttentionHeads,
          -1,
        ]) as tf.Tensor4D;
      const attended = tf.add(x, out.apply(selfAttention(heads(q), heads(k), heads(v))));
      const fed = fc2.apply(this.config.hiddenAct(fc1.apply(norm2.apply(attended))));
      return tf.add(attended, fed) as tf.Tensor3D;
    });
  }
}

/** A convolution whose stride is its kernel: [width, 3, patch, patch] becomes one product. */
async function loadPatchEmbedding(
  { hiddenSize: width, patchSize }: ClipConfig,
  weights: WeightReader,
  prefix: string,
): Promise<Projection> {
  const name = `${prefix}.embeddings.patch_embedding.weight`;
  const kernel = await weights.read(name, [width, 3, patchSize, patchSize]);
  return denseProjection(
    tf.tidy(() => tf.transpose(tf.tensor2d(kernel, [width, 3 * patchSize * patchSize]))),
  );
}

async function loadLayer(
  { hiddenSize: width, intermediateSize, layerNormEps }: ClipConfig,
  weights: WeightReader,
  name: string,
  own: <P extends LayerNorm | Projection>(part: P) => P,
): Promise<ClipLayer> {
  const norm = async (part: string) =>
    own(await loadLayerNorm(weights, `${name}.${part}`, width, layerNormEps));
  const projection = async (part: string, widths: [number, number]) =>
    own(await loadProjection(weights, `${name}.${part}`, widths));
  return {
    norm1: await norm('layer_norm1'),
    norm2: await norm('layer_norm2'),
    projections: {
      q: await projection('self_attn.q_proj', [width, width]),
      k: await projection('self_attn.k_proj', [width, width]),
      v: await projection('self_attn.v_proj', [width, width]),
      out: await projection('self_attn.out_proj', [width, width]),
      fc1: await projection('mlp.fc1', [width, intermediateSize]),
      fc2: await projection('mlp.fc2', [intermediateSize, width]),
    },
  };
}
