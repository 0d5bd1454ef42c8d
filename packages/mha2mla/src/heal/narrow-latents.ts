/**
 * Make the latents of a loaded model narrower, in place. They are ordered by energy, so the first
 * dims of each group are the smaller model's latent (`truncateFactors` in `@mha2mla/lowrank`). Biases
 * stay, so those of centred latents lack what the dropped dims made of the mean.
 */
import { type Decoder, denseProjection, type Projection } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import type { LatentRanks } from '../convert/latent-ranks';

/** Folders of a layer's latents: one, or one for each modality. */
function foldersOf(projections: ReadonlyMap<string, Projection>): string[] {
  const folders = ['kv_proj', 'kv_proj_img', 'kv_proj_text'];
  return folders.filter((folder) => projections.has(`${folder}.down_kv`));
}

/**
 * Weights and biases of all maps to and from latents by the decoder's names, laid out as on disk; the
 * caller disposes what is read.
 */
export function latentWeights({ layers }: Decoder): Map<string, () => tf.Tensor> {
  const weights = new Map<string, () => tf.Tensor>();
  for (const [index, { attention }] of layers.entries()) {
    for (const [name, projection] of attention.projections) {
      const { bias } = projection;
      if (!/\.(down_kv|up_k|up_v)$/.test(name)) continue;
      const map = `layers.${index}.self_attn.${name}`;
      weights.set(`${map}.weight`, () => tf.tidy(() => tf.transpose(projection.weight())));
      if (bias) weights.set(`${map}.bias`, () => tf.clone(bias));
    }
  }
  return weights;
}

/** Latent dims a KV head of each layer; 0 where a layer has no latent. */
export function latentRanksOf({ layers, config }: Decoder): LatentRanks {
  const ranksOf = (folder: string) =>
    layers.map(({ attention: { projections } }) => {
      const down = projections.get(`${folder}.down_kv`) ?? projections.get('kv_proj.down_kv');
      return (down?.outFeatures ?? 0) / config.numKeyValueHeads;
    });
  return { vision: ranksOf('kv_proj_img'), text: ranksOf('kv_proj_text') };
}

/**
 * Keep the first dims of every group of each latent that is wider; narrower ones stay. The maps that
 * are replaced are disposed.
 * @param rank latent dims a KV head.
 */
export function narrowLatents({ layers, config }: Decoder, rank: number): void {
  const width = rank * config.numKeyValueHeads; // C
  for (const { attention } of layers) {
    const { projections } = attention;
    for (const folder of foldersOf(projections)) {
      const down = projections.get(`${folder}.down_kv`)!;
      if (down.outFeatures <= width) continue;
      const groups = down.outFeatures / projections.get(`${folder}.up_v`)!.inFeatures;
      const replace = (part: string, next: (old: Projection) => Projection) => {
        const old = projections.get(`${folder}.${part}`)!;
        projections.set(`${folder}.${part}`, next(old));
        old.dispose();
      };
      replace('down_kv', (old) => narrowDown(old, width, groups));
      for (const part of ['up_k', 'up_v']) replace(part, (old) => narrowUp(old, width / groups));
    }
    attention.refresh();
  }
}

/** [D, C] to the first dims of each group. */
function narrowDown(old: Projection, width: number, groups: number): Projection {
  const { inFeatures, bias } = old;
  const prefix = (x: tf.Tensor, rows: number) => {
    const grouped = tf.reshape(x, [rows, groups, -1]); // [rows, groups, C / groups]
    return tf.slice(grouped, [0, 0, 0], [rows, groups, width / groups]);
  };
  const weight = tf.tidy(
    () => tf.reshape(prefix(old.weight(), inFeatures), [inFeatures, width]) as tf.Tensor2D,
  );
  return denseProjection(
    weight,
    bias && tf.tidy(() => tf.reshape(prefix(bias, 1), [width]) as tf.Tensor1D),
  );
}

/** [C / groups, O] to its first rows, which every group's columns share. */
function narrowUp(old: Projection, rows: number): Projection {
  const weight = tf.tidy(
    () => tf.slice(old.weight(), [0, 0], [rows, old.outFeatures]) as tf.Tensor2D,
  );
  return denseProjection(weight, old.bias && tf.clone(old.bias));
}
