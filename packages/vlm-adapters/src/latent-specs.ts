/**
 * How a converted model's latents are stored, where a conversion fitted it: widths of their channels
 * in `mha2mla.cache.latent_bands`, per layer and segment lists of [bits, channels]; scales, then zero
 * points of one after another in one tensor, so that opening a model reads it at once.
 */
import {
  assertFinite,
  type Checkpoint,
  type ConfigRecord,
  configRecord,
  configValue,
  showJson,
} from '@mha2mla/checkpoint';
import type { CacheOptions, Segment } from '@mha2mla/mla-runtime';

type LatentSpecs = NonNullable<CacheOptions['latentSpecs']>;
type StaticSpec = NonNullable<LatentSpecs[number]['all']>;
type ChannelBand = StaticSpec['bands'][number];

/** The stored name of the tensor, F32 [values]. */
export const LATENT_SCALES = 'mha2mla.latent_scales';

/** In the order of the tensor. */
const SEGMENTS: readonly Segment[] = ['vision', 'text', 'all'];
/** What the widest latent of any model has many times over. */
const MOST_CHANNELS = 2 ** 20;

/** Widths as the config has them. */
export function latentBands(specs: LatentSpecs): Record<string, unknown>[] {
  return specs.map((layer) =>
    Object.fromEntries(
      Object.entries(layer).map(([segment, { bands }]) => [
        segment,
        bands.map(({ bits, channels }) => [bits, channels]),
      ]),
    ),
  );
}

/** Scales and zero points as the tensor has them. */
export function latentScales(specs: LatentSpecs): Float32Array {
  const tables = specs.flatMap((layer) =>
    SEGMENTS.flatMap((segment) => (layer[segment] ? [layer[segment]] : [])),
  );
  return Float32Array.from(tables.flatMap(({ scales, zeros }) => [...scales, ...zeros]));
}

/**
 * @param block `config.mha2mla`, unchecked.
 * @param groups that each latent is cut into, each with scales of its own.
 * @returns the specs; `undefined` where none are stored.
 * @throws RangeError for widths that there are not, or a tensor that does not hold their scales.
 */
export async function readLatentSpecs(
  block: ConfigRecord,
  checkpoint: Checkpoint,
  { numHiddenLayers, groups }: { numHiddenLayers: number; groups: number },
): Promise<LatentSpecs | undefined> {
  const stored = configValue(configRecord(block, 'cache') ?? {}, 'latent_bands');
  if (stored === undefined) return undefined;
  if (!Array.isArray(stored) || stored.length !== numHiddenLayers) {
    throw new RangeError(
      `readLatentSpecs: mha2mla.cache.latent_bands must list ${numHiddenLayers} layers, got ${Array.isArray(stored) ? stored.length : showJson(stored)}.`,
    );
  }
  const layers = stored.map(parseLayer);
  const width = (bands: readonly ChannelBand[]) =>
    groups * bands.reduce((sum, { channels }) => sum + channels, 0);
  const count = layers.flat().reduce((sum, [, bands]) => sum + 2 * width(bands), 0);
  const shape = checkpoint.tensors.get(LATENT_SCALES)?.shape;
  if (shape?.join() !== `${count}`) {
    throw new RangeError(
      `readLatentSpecs: ${LATENT_SCALES} must hold the ${count} scales and zero points of mha2mla.cache.latent_bands, got ${shape ? `[${shape}]` : 'none'}.`,
    );
  }
  const values = await checkpoint.readFloat32(LATENT_SCALES);
  assertFinite('readLatentSpecs', LATENT_SCALES, values);
  let at = 0;
  const take = (size: number) => {
    at += size;
    return values.slice(at - size, at);
  };
  return layers.map((layer) =>
    Object.fromEntries(
      layer.map(([segment, bands]): [Segment, StaticSpec] => {
        const scales = take(width(bands));
        if (!scales.every((scale) => scale > 0)) {
          throw new RangeError(`readLatentSpecs: scales of ${LATENT_SCALES} must be above 0.`);
        }
        return [segment, { method: 'static', bands, scales, zeros: take(width(bands)) }];
      }),
    ),
  );
}

function parseLayer(layer: unknown, index: number): [Segment, ChannelBand[]][] {
  const name = `mha2mla.cache.latent_bands[${index}]`;
  const known =
    layer instanceof Object && Object.keys(layer).every((key) => SEGMENTS.includes(key as Segment));
  if (!known) {
    throw new RangeError(
      `readLatentSpecs: ${name} must be a record of ${SEGMENTS.join(', ')}, got ${showJson(layer)}.`,
    );
  }
  const record = layer as Partial<Record<Segment, unknown>>;
  return SEGMENTS.filter((segment) => Object.hasOwn(record, segment)).map((segment) => {
    const bands = record[segment];
    const fits = (band: unknown) =>
      Array.isArray(band) &&
      band.length === 2 &&
      [0, 2, 3, 4, 8].includes(band[0]) &&
      Number.isSafeInteger(band[1]) &&
      band[1] >= 1 &&
      band[1] <= MOST_CHANNELS;
    if (!Array.isArray(bands) || bands.length === 0 || !bands.every(fits)) {
      throw new RangeError(
        `readLatentSpecs: ${name}.${segment} must list [bits, channels], bits of 0, 2, 3, 4, 8, got ${showJson(bands)}.`,
      );
    }
    return [segment, bands.map(([bits, channels]) => ({ bits, channels }))];
  });
}
