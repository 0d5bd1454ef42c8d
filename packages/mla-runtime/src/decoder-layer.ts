/** One layer of the decoder: x + attention(norm(x)), then x + mlp(norm(x)). */
import * as tf from '@tensorflow/tfjs-core';
import type { Attention, PrefillOptions } from './attention/attention';
import type { LayerCache } from './cache/layer-cache';
import { gatedMlp } from './gated-mlp';
import type { Projection } from './projection';
import { rmsNorm } from './rms-norm';
import type { DecodeStep, PrefillStep } from './step';

export interface DecoderLayerParts {
  attention: Attention;
  mlp: { gate: Projection; up: Projection; down: Projection };
  inputNorm: tf.Tensor1D;
  postAttentionNorm: tf.Tensor1D;
  rmsNormEps: number;
}

export class DecoderLayer {
  readonly attention: Attention;

  constructor(private readonly parts: DecoderLayerParts) {
    this.attention = parts.attention;
  }

  /** Run all tokens of a prompt, [B, L, D] to [B, L, D]. The caller disposes the result. */
  prefill(x: tf.Tensor3D, step: PrefillStep, options?: PrefillOptions): tf.Tensor3D {
    return this.run(x, (input) => this.attention.prefill(input, step, options));
  }

  /** Run one new token a row, [B, 1, D] to [B, 1, D]. The caller disposes the result. */
  decode(x: tf.Tensor3D, step: DecodeStep, cache: LayerCache): tf.Tensor3D {
    return this.run(x, (input) => this.attention.decode(input, step, cache));
  }

  dispose(): void {
    const { mlp, inputNorm, postAttentionNorm } = this.parts;
    this.attention.dispose();
    for (const projection of [mlp.gate, mlp.up, mlp.down]) projection.dispose();
    tf.dispose([inputNorm, postAttentionNorm]);
  }

  private run(x: tf.Tensor3D, attend: (input: tf.Tensor3D) => tf.Tensor3D): tf.Tensor3D {
    const { inputNorm, postAttentionNorm, mlp, rmsNormEps } = this.parts;
    return tf.tidy(() => {
      const attended = tf.add(x, attend(rmsNorm(x, inputNorm, rmsNormEps))) as tf.Tensor3D;
      const fed = gatedMlp(rmsNorm(attended, postAttentionNorm, rmsNormEps), mlp);
      return tf.add(attended, fed) as tf.Tensor3D;
    });
  }
}
