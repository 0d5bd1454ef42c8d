/**
 * A model with a key bias planted on the slowest pairs of each KV head, as Qwen2.5-VL has them: far
 * larger than what varies from token to token, and nearly the same after rotation at every position,
 * so that softmax nearly cancels it.
 *
 * Turned by an angle a, a bias b changes the score of a query q by |q x b| a at first. Queries are
 * made shorter on those pairs and keys longer by as much, which changes no score by itself.
 */
import { memoryStore, openCheckpoint, writeSafetensors } from '@mha2mla/checkpoint';
import { openVlm } from '@mha2mla/vlm-adapters';
import { memoryOutput } from 'mha2mla';
import { FAMILIES } from 'mha2mla/node';

/** How much shorter queries are made: the bias then moves the small model's logits by 0.008. */
const SHORTER = 6;

/**
 * @param {import('@mha2mla/vlm-adapters').VlmSource} source of a family with key biases.
 * @param {number} norm of each head's planted bias.
 * @param {number} pairs how many of the slowest pairs it is spread over, the more the slower.
 * @returns {Promise<import('@mha2mla/vlm-adapters').VlmSource>}
 */
export async function plantBias(source, { norm, pairs }) {
  const { headDim, ropeTheta } = source.config.decoder;
  const half = headDim / 2;
  const isSlow = (row) => row % half >= half - pairs;
  // By 1 / frequency², so that the slowest pair, which turns it least, holds most.
  const slow = Array.from({ length: pairs }, (_, i) => half - pairs + i);
  const weights = slow.map((pair) => ropeTheta ** ((4 * pair) / headDim));
  const unit = norm / Math.hypot(...weights) / Math.SQRT2;
  const biasOf = (row) => unit * weights[(row % half) - (half - pairs)];
  const change = (name, shape, values) => {
    const [, side, part] = /([qk])_proj\.(weight|bias)$/.exec(name) ?? [];
    if (side === undefined || name.startsWith('visual.')) return;
    const factor = side === 'q' ? 1 / SHORTER : SHORTER;
    const plants = side === 'k' && part === 'bias';
    const width = shape[1] ?? 1;
    for (let i = 0; i < values.length; i++) {
      const row = Math.floor(i / width);
      if (isSlow(row)) values[i] = values[i] * factor + (plants ? biasOf(row) : 0);
    }
  };
  const checkpoint = await openCheckpoint(source.store);
  const entries = [...checkpoint.tensors.values()].map(({ name, shape }) => {
    return { name, shape, dtype: 'F32' };
  });
  const output = memoryOutput();
  await output.write('model.safetensors', (sink) =>
    writeSafetensors(sink, entries, async ({ name, shape }) => {
      const values = await checkpoint.readFloat32(name);
      change(name, shape, values);
      return values;
    }),
  );
  const config = new TextEncoder().encode(JSON.stringify(source.config.source.raw));
  await output.write('config.json', (sink) => sink.write(config));
  return openVlm(memoryStore(output.files), { families: FAMILIES });
}
