/**
 * The vision transformer of Qwen2.5-VL (Bai et al. 2025): pre-norm blocks with RMSNorm and a gated
 * MLP, attention within windows but for a few full blocks, and a merger that makes one token of
 * each square of patches.
 */
import {
  denseProjection,
  loadProjection,
  type Projection,
  type RotaryTable,
  rmsNorm,
  type WeightReader,
} from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import { loadOwned } from '../load-owned';
import { activation } from '../vision/activations';
import { type EncodeSteps, runAtOnce } from '../vision/encode-steps';
import type { Qwen25VisionConfig } from './qwen2-5-vl-config';
import { segmentAttention } from './segment-attention';
import { type Grid, visionLayout } from './vision-layout';
import { rotateVision, visionAngles } from './vision-rotary';

/** The original's, in code and not in the config. */
const NORM_EPS = 1e-6;
const PROJECTIONS = ['attn.qkv', 'attn.proj', 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'];
const gelu = activation('gelu');

type Observe = (name: string, tensor: tf.Tensor) => void;

interface Block {
  norm1: tf.Tensor1D;
  norm2: tf.Tensor1D;
}

interface TowerParts {
  patchEmbed: Projection;
  blocks: readonly Block[];
  mergerNorm: tf.Tensor1D;
}

/** Weights of the tower by our names: maps have a bias, norms and patches none. */
export function qwen25TowerTensors({ depth }: Qwen25VisionConfig): string[] {
  const both = (name: string) => [`${name}.weight`, `${name}.bias`];
  const blocks = Array.from({ length: depth }, (_, i) => [
    `blocks.${i}.norm1.weight`,
    `blocks.${i}.norm2.weight`,
    ...PROJECTIONS.flatMap((part) => both(`blocks.${i}.${part}`)),
  ]);
  const merger = ['merger.ln_q.weight', ...both('merger.mlp.0'), ...both('merger.mlp.2')];
  return ['patch_embed.proj.weight', ...blocks.flat(), ...merger].map((name) => `visual.${name}`);
}

export class Qwen25VlTower {
  private constructor(
    private readonly config: Qwen25VisionConfig,
    private readonly parts: TowerParts,
    /** Linear maps by our names. An entry can be replaced, such as by an adapter. */
    readonly projections: Map<string, Projection>,
  ) {}

  /** @param width of the language model. @returns a tower that the caller disposes. */
  static load(
    config: Qwen25VisionConfig,
    weights: WeightReader,
    width: number,
  ): Promise<Qwen25VlTower> {
    const { hiddenSize, patchSize, temporalPatchSize, spatialMergeSize } = config;
    return loadOwned(async (own) => {
      const norm = async (name: string) =>
        own(tf.tensor1d(await weights.read(`visual.${name}.weight`, [hiddenSize])));
      const projections = new Map<string, Projection>();
      const load = async (name: string, widths: [number, number]) => {
        projections.set(name, own(await loadProjection(weights, name, widths)));
      };
      // A convolution whose stride is its kernel is one product.
      const shape = [hiddenSize, 3, temporalPatchSize, patchSize, patchSize];
      const kernel = await weights.read('visual.patch_embed.proj.weight', shape);
      const patchEmbed = own(
        denseProjection(
          tf.tidy(() => tf.transpose(tf.tensor2d(kernel, [hiddenSize, patchValues(config)]))),
        ),
      );
      const blocks: Block[] = [];
      for (let i = 0; i < config.depth; i++) {
        for (const name of PROJECTIONS) {
          await load(`visual.blocks.${i}.${name}`, widthsOf(config, name));
        }
        const norm1 = await norm(`blocks.${i}.norm1`);
        blocks.push({ norm1, norm2: await norm(`blocks.${i}.norm2`) });
      }
      const merged = hiddenSize * spatialMergeSize ** 2;
      await load('visual.merger.mlp.0', [merged, merged]);
      await load('visual.merger.mlp.2', [merged, width]);
      const mergerNorm = await norm('merger.ln_q');
      return new Qwen25VlTower(config, { patchEmbed, blocks, mergerNorm }, projections);
    });
  }

  /**
   * @param pixels [patches * values of a patch], as the processor lists them.
   * @param grids of the pictures or videos that they belong to.
   * @param observe gets `patch_embed` and, in window order, `block.I`.
   * @returns [tokens, width of the language model], row by row; the caller disposes it.
   */
  encode(pixels: Float32Array, grids: readonly Grid[], observe?: Observe): tf.Tensor2D {
    return tf.tidy(() => runAtOnce(this.encodeSteps(pixels, grids, observe)));
  }

  /** The same, block by block. */
  *encodeSteps(
    pixels: Float32Array,
    grids: readonly Grid[],
    observe?: Observe,
  ): EncodeSteps<tf.Tensor2D> {
    const { spatialMergeSize, windowSide, fullAttentionBlocks, rotaryFrequencies } = this.config;
    const layout = visionLayout(grids, { mergeSize: spatialMergeSize, windowSide });
    const total = this.parts.blocks.length;
    const angles = visionAngles(layout.coordinates, rotaryFrequencies);
    let hidden = tf.tidy(() => {
      const patches = tf.tensor2d(pixels, [
        layout.coordinates.length / 2,
        patchValues(this.config),
      ]);
      const embedded = this.parts.patchEmbed.apply(patches) as tf.Tensor2D;
      observe?.('patch_embed', embedded);
      return this.reorder(embedded, layout.unitOrder);
    });
    try {
      for (let i = 0; i < total; i++) {
        const segments = fullAttentionBlocks.includes(i) ? layout.pictures : layout.windows;
        const next = this.runBlock(i, hidden, angles, segments);
        hidden.dispose();
        hidden = next;
        observe?.(`block.${i}`, hidden);
        yield { loaded: i + 1, total };
      }
      return tf.tidy(() => this.merge(hidden, layout.unitOrder));
    } finally {
      tf.dispose([hidden, angles.cos, angles.sin]);
    }
  }

  dispose(): void {
    const { patchEmbed, blocks, mergerNorm } = this.parts;
    for (const part of [patchEmbed, mergerNorm, ...this.projections.values()]) part.dispose();
    for (const { norm1, norm2 } of blocks) tf.dispose([norm1, norm2]);
  }

  /** Move the units of patches to the window order. */
  private reorder(x: tf.Tensor2D, unitOrder: Int32Array): tf.Tensor2D {
    const units = tf.reshape(x, [unitOrder.length, -1]);
    return tf.reshape(tf.gather(units, tf.tensor1d(unitOrder, 'int32')), x.shape);
  }

  private runBlock(
    index: number,
    x: tf.Tensor2D,
    angles: RotaryTable,
    segments: readonly number[],
  ): tf.Tensor2D {
    const { numHeads, hiddenSize, hiddenAct } = this.config;
    const { norm1, norm2 } = this.parts.blocks[index]!;
    const apply = (name: string, input: tf.Tensor) =>
      this.projections.get(`visual.blocks.${index}.${name}`)!.apply(input);
    return tf.tidy(() => {
      const qkv = apply('attn.qkv', rmsNorm(x, norm1, NORM_EPS));
      const heads = tf.reshape(qkv, [x.shape[0], 3, numHeads, hiddenSize / numHeads]);
      const [q, k, v] = tf.unstack(heads, 1) as [tf.Tensor3D, tf.Tensor3D, tf.Tensor3D];
      const attended = segmentAttention(
        rotateVision(q, angles),
        rotateVision(k, angles),
        v,
        segments,
      );
      const residual = tf.add(x, apply('attn.proj', attended)) as tf.Tensor2D;
      const input = rmsNorm(residual, norm2, NORM_EPS);
      const gated = tf.mul(hiddenAct(apply('mlp.gate_proj', input)), apply('mlp.up_proj', input));
      return tf.add(residual, apply('mlp.down_proj', gated)) as tf.Tensor2D;
    });
  }

  /** One token of each unit, back in the processor's order. */
  private merge(x: tf.Tensor2D, unitOrder: Int32Array): tf.Tensor2D {
    const apply = (layer: 0 | 2, input: tf.Tensor) =>
      this.projections.get(`visual.merger.mlp.${layer}`)!.apply(input);
    const normed = rmsNorm(x, this.parts.mergerNorm, NORM_EPS);
    const tokens = apply(2, gelu(apply(0, tf.reshape(normed, [unitOrder.length, -1]))));
    const places = new Int32Array(unitOrder.length);
    for (const [place, unit] of unitOrder.entries()) places[unit] = place;
    return tf.gather(tokens, tf.tensor1d(places, 'int32')) as tf.Tensor2D;
  }
}

/** Values of a patch: channels, frames, rows, columns. */
export function patchValues({
  patchSize,
  temporalPatchSize,
}: Pick<Qwen25VisionConfig, 'patchSize' | 'temporalPatchSize'>): number {
  return 3 * temporalPatchSize * patchSize ** 2;
}

function widthsOf(
  { hiddenSize, intermediateSize }: Qwen25VisionConfig,
  name: string,
): [number, number] {
  if (name === 'attn.qkv') return [hiddenSize, 3 * hiddenSize];
  if (name === 'attn.proj') return [hiddenSize, hiddenSize];
  return name === 'mlp.down_proj' ? [intermediateSize, hiddenSize] : [hiddenSize, intermediateSize];
}
