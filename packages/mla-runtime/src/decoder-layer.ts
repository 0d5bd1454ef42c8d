/** One layer of the decoder: x + attention(norm(x)), then x + mlp(norm(x)). */
import * as tf from '@tensorflow/tfjs-core';
import type { Attention, PrefillOptions } from './attention/attention';
import { reshaped } from './attention/views';
import type { LayerCache } from './cache/layer-cache';
import type { DecodeStep } from './decode-step';
import { gatedMlp } from './gated-mlp';
import { addRmsNorm } from './kernels/add-rms-norm';
import { addRows } from './kernels/add-rows';
import type { Projection } from './projection';
import { rmsNorm } from './rms-norm';
import type { PrefillStep } from './step';

/** Norms of a layer by their names on disk. */
export type LayerNormName = 'input_layernorm' | 'post_attention_layernorm';

export interface DecoderLayerParts {
  attention: Attention;
  /** `gate_proj`, `up_proj` and `down_proj`. */
  mlp: Map<string, Projection>;
  norms: Record<LayerNormName, tf.Tensor1D>;
  rmsNormEps: number;
}

/** Attention and gated MLP, each behind its norm and beside its residual. */
export class DecoderLayer {
  readonly attention: Attention;

  constructor(private readonly parts: DecoderLayerParts) {
    this.attention = parts.attention;
  }

  /** Its linear maps by their names on disk, such as `self_attn.q_proj` and `mlp.up_proj`. */
  get projections(): ReadonlyMap<string, Projection> {
    return new Map([
      ...[...this.attention.projections].map(prefixed('self_attn')),
      ...[...this.parts.mlp].map(prefixed('mlp')),
    ]);
  }

  /**
   * Put another map in the place of one, such as an adapter around it; nothing is disposed.
   * @throws RangeError for a name that the layer does not have, or for other widths.
   */
  setProjection(name: string, projection: Projection): void {
    const old = this.projections.get(name);
    if (!old) {
      throw new RangeError(
        `setProjection: expected one of ${[...this.projections.keys()].join(', ')}, got ${name}.`,
      );
    }
    const widths = [projection.inFeatures, projection.outFeatures];
    if (widths[0] !== old.inFeatures || widths[1] !== old.outFeatures) {
      throw new RangeError(
        `setProjection: ${name} must map ${old.inFeatures} to ${old.outFeatures} features, got ${widths.join(' to ')}.`,
      );
    }
    const [part, ...rest] = name.split('.');
    const owner = part === 'mlp' ? this.parts.mlp : this.attention.projections;
    owner.set(rest.join('.'), projection);
    this.attention.refresh();
  }

  /** The weights of its norms, [D] each. */
  get norms(): Readonly<Record<LayerNormName, tf.Tensor1D>> {
    return this.parts.norms;
  }

  /** Put another weight [D] in the place of a norm's; nothing is disposed. */
  setNorm(name: LayerNormName, weight: tf.Tensor1D): void {
    this.parts.norms[name] = weight;
  }

  /** Run all tokens of a prompt, [B, L, D] to [B, L, D]. The caller disposes the result. */
  prefill(x: tf.Tensor3D, step: PrefillStep, options?: PrefillOptions): tf.Tensor3D {
    return tf.tidy(() => this.run(x, (input) => this.attention.prefill(input, step, options)));
  }

  /**
   * Run new tokens over a cache.
   * @param x [B, L, D] or rows [B * L, D].
   * @returns the shape of x; the caller disposes it.
   */
  decode<T extends tf.Tensor>(x: T, step: DecodeStep, cache: LayerCache): T {
    const width = x.shape[x.rank - 1]!;
    return tf.tidy(() => {
      const rows = reshaped(x, [x.size / width, width]) as tf.Tensor2D;
      const output = this.run(rows, (input) => this.attention.decode(input, step, cache));
      return reshaped(output, x.shape) as T;
    });
  }

  /** Frees the weights of the layer. */
  dispose(): void {
    const { mlp, norms } = this.parts;
    this.attention.dispose();
    for (const projection of mlp.values()) projection.dispose();
    tf.dispose(Object.values(norms));
  }

  private run<T extends tf.Tensor>(x: T, attend: (input: T) => T): T {
    const { norms, mlp, rmsNormEps } = this.parts;
    const input = rmsNorm(x, norms.input_layernorm, rmsNormEps);
    const { post_attention_layernorm: norm } = norms;
    const { sum, normal } = addRmsNorm(x, attend(input), norm, rmsNormEps);
    return addRows(sum, gatedMlp(normal, mlp));
  }
}

function prefixed(part: string) {
  return ([name, projection]: [string, Projection]): [string, Projection] => [
    `${part}.${name}`,
    projection,
  ];
}
