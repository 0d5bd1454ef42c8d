import { type Decoder, denseProjection, type Projection } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import { linearPlaces } from '../adapter/linear-modules';

/**
 * Put healed weights into a loaded decoder; what they replace is disposed.
 * @param names as healing gives them: a map's bias comes with its weight.
 * @param read gives values laid out as on disk.
 */
export async function putWeights(
  decoder: Decoder,
  names: readonly string[],
  read: (name: string) => Promise<Float32Array>,
): Promise<void> {
  const given = new Set(names);
  for (const [module, { projection, replace }] of linearPlaces(decoder.layers.entries())) {
    if (!given.has(`${module}.weight`)) continue;
    const values = await read(`${module}.weight`);
    const trained = given.has(`${module}.bias`) ? await read(`${module}.bias`) : undefined;
    replace(storedProjection(projection, values, trained));
    projection.dispose();
  }
  for (const [index, layer] of decoder.layers.entries()) {
    for (const norm of ['input_layernorm', 'post_attention_layernorm'] as const) {
      const name = `layers.${index}.${norm}.weight`;
      if (!given.has(name)) continue;
      const old = layer.norms[norm];
      layer.setNorm(norm, tf.tensor1d(await read(name)));
      old.dispose();
    }
  }
  if (given.has('norm.weight')) {
    const old = decoder.norm;
    decoder.setNorm(tf.tensor1d(await read('norm.weight')));
    old.dispose();
  }
}

/**
 * A map in the place of another.
 * @param values laid out as on disk, [out, in].
 * @param bias by default a copy of the other's.
 */
export function storedProjection(
  { inFeatures, outFeatures, bias: before }: Projection,
  values: Float32Array,
  bias?: Float32Array,
): Projection {
  const weight = tf.tidy(() => tf.transpose(tf.tensor2d(values, [outFeatures, inFeatures])));
  return denseProjection(weight, bias ? tf.tensor1d(bias) : before && tf.clone(before));
}
