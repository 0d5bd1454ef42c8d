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
import { type EncodeSteps, runAtOnce } from './encode-steps';
import { type LayerNorm, loadLayerNorm } from './layer-norm';
import { patchify } from './patchify';
import { selfAttention } from './self-attention';

type Observe = (name: string, tensor: tf.Tensor) => void;

interface ClipLayer {
  /** Where its weights stand, such as `vision_tower.encoder.layers.0`. */
  name: string;
  norm1: LayerNorm;
  norm2: LayerNorm;
}

/** Linear maps of a layer. */
const PROJECTIONS = ['q_proj', 'k_proj', 'v_proj', 'out_proj']
  .map((part) => `self_attn.${part}`)
  .concat('mlp.fc1', 'mlp.fc2');

/** CLIP's vision transformer, up to the layer that is used. */
export class ClipVisionTower {
  private constructor(
    private readonly config: ClipConfig,
    private readonly patchEmbedding: Projection,
    /** [1, 1, D] and [1, 1 + patches, D]. */
    private readonly classEmbedding: tf.Tensor3D,
    private readonly positions: tf.Tensor3D,
    private readonly preNorm: LayerNorm,
    private readonly layers: readonly ClipLayer[],
    /** The layers' linear maps by our names. An entry can be replaced, such as by an adapter. */
    readonly projections: Map<string, Projection>,
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
      const projections = new Map<string, Projection>();
      for (let i = 0; i < config.numHiddenLayers; i++) {
        const name = `${prefix}.encoder.layers.${i}`;
        const layerNorm = async (part: string) =>
          own(await loadLayerNorm(weights, `${name}.${part}`, width, layerNormEps));
        layers.push({
          name,
          norm1: await layerNorm('layer_norm1'),
          norm2: await layerNorm('layer_norm2'),
        });
        for (const part of PROJECTIONS) {
          const map = await loadProjection(weights, `${name}.${part}`, widthsOf(config, part));
          projections.set(`${name}.${part}`, own(map));
        }
      }
      return new ClipVisionTower(
        config,
        patchEmbedding,
        classEmbedding,
        positions,
        norm,
        layers,
        projections,
      );
    });
  }

  /**
   * @param pixels [pictures, 3, imageSize, imageSize], normalised.
   * @param observe gets `pre_layrnorm` and `layer.I`; with it, layers beyond the used one run too.
   * @returns [pictures, patches (+ 1 with the class token), D]; the caller disposes it.
   */
  encode(pixels: Float32Array, pictures: number, observe?: Observe): tf.Tensor3D {
    return tf.tidy(() => runAtOnce(this.encodeSteps(pixels, pictures, observe)));
  }

  /** The same, layer by layer. */
  *encodeSteps(
    pixels: Float32Array,
    pictures: number,
    observe?: Observe,
  ): EncodeSteps<tf.Tensor3D> {
    const { featureLayers, dropClassToken } = this.config;
    const total = observe ? this.layers.length : featureLayers;
    const pictured = (rows: tf.Tensor): tf.Tensor3D =>
      tf.reshape(rows, [pictures, rows.shape[0]! / pictures, -1]);
    let rows = tf.tidy(() => {
      const embedded = this.embed(pixels, pictures);
      observe?.('pre_layrnorm', embedded);
      return tf.reshape(embedded, [-1, embedded.shape[2]]) as tf.Tensor2D;
    });
    let feature = rows;
    try {
      for (let i = 0; i < total; i++) {
        const next = this.runLayer(this.layers[i]!, rows, pictures);
        if (i < featureLayers) feature = next;
        if (rows !== feature) rows.dispose();
        rows = next;
        tf.tidy(() => observe?.(`layer.${i}`, pictured(rows)));
        yield { loaded: i + 1, total };
      }
      return tf.tidy(() =>
        dropClassToken ? tf.slice(pictured(feature), [0, 1, 0]) : pictured(feature),
      );
    } finally {
      tf.dispose([rows, feature]);
    }
  }

  /** Frees its weights. */
  dispose(): void {
    this.patchEmbedding.dispose();
    this.preNorm.dispose();
    tf.dispose([this.classEmbedding, this.positions]);
    for (const { norm1, norm2 } of this.layers) for (const norm of [norm1, norm2]) norm.dispose();
    for (const projection of this.projections.values()) projection.dispose();
  }

  private embed(pixels: Float32Array, pictures: number): tf.Tensor3D {
    const { imageSize, patchSize } = this.config;
    const patches = tf.tensor3d(...patchify(pixels, pictures, imageSize, patchSize));
    const embedded = this.patchEmbedding.apply(patches) as tf.Tensor3D;
    const classTokens = tf.tile(this.classEmbedding, [pictures, 1, 1]);
    const tokens = tf.concat([classTokens, embedded], 1);
    return this.preNorm.apply(tf.add(tokens, this.positions) as tf.Tensor3D);
  }

  /** [pictures * tokens, D] to the same: as rows, so that no map need make them of its input. */
  private runLayer({ name, norm1, norm2 }: ClipLayer, x: tf.Tensor2D, pictures: number) {
    const [rows, width] = x.shape;
    const apply = (part: string, input: tf.Tensor) =>
      this.projections.get(`${name}.${part}`)!.apply(input);
    return tf.tidy(() => {
      const input = norm1.apply(x);
      const heads = (part: string) =>
        tf.reshape(apply(`self_attn.${part}`, input), [
          pictures,
          rows / pictures,
          this.config.numAttentionHeads,
          -1,
        ]) as tf.Tensor4D;
      const seen = selfAttention(heads('q_proj'), heads('k_proj'), heads('v_proj'));
      const attended = tf.add(x, apply('self_attn.out_proj', tf.reshape(seen, [rows, width])));
      const inner = this.config.hiddenAct(apply('mlp.fc1', norm2.apply(attended)));
      const fed = apply('mlp.fc2', inner);
      return tf.add(attended, fed) as tf.Tensor2D;
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

function widthsOf(
  { hiddenSize: width, intermediateSize }: ClipConfig,
  part: string,
): [number, number] {
  if (part === 'mlp.fc1') return [width, intermediateSize];
  return part === 'mlp.fc2' ? [intermediateSize, width] : [width, width];
}
