/**
 * What Qwen2.5-VL's processors do to pictures and to frames of videos, from a checkpoint's files:
 * one for both (`preprocessor_config.json`), or one each (`processor_config.json`, and
 * `video_preprocessor_config.json` of some versions).
 */
import { type FileStore, showJson } from '@mha2mla/checkpoint';
import { parseResizes, parseSampleSettings } from '../../image/sample-settings';
import { sampleTable } from '../../image/sample-table';
import { positiveInteger } from '../../image/setting-values';
import { jsonRecord } from '../../json-record';
import { readOptionalJson } from '../../text/load-text-files';
import type { PatchSizes } from './patchify-frames';

export interface MediaSettings {
  convertRgb: boolean;
  /** Value of each of the 256 grey levels, by channel. */
  tables: readonly Float32Array[];
  /** Absent: media keep their size. */
  limits?: { minPixels: number; maxPixels: number };
}

const OWNER = 'loadMediaSettings';

/** Five times the published most (12.8 million); 64 million are a gigabyte and a half of values. */
const MAX_PIXELS = 2 ** 26;

/** Of Qwen2VLImageProcessor and Qwen2VLVideoProcessor, where their settings name none. */
const DEFAULT_LIMITS = {
  image: { shortest_edge: 56 * 56, longest_edge: 28 * 28 * 1280 },
  video: { shortest_edge: 128 * 28 * 28, longest_edge: 768 * 28 * 28 },
};

/**
 * Which frames of a video are taken is the application's choice, so what files say of that is left
 * unread.
 * @throws CheckpointError for a malformed file; TypeError, RangeError naming the key.
 */
export async function loadMediaSettings(
  store: FileStore,
  sizes: PatchSizes,
): Promise<Record<'image' | 'video', MediaSettings>> {
  const older = await readOptionalJson(store, 'preprocessor_config.json');
  const newer = (await readOptionalJson(store, 'processor_config.json')) ?? {};
  const { image_processor, video_processor } = jsonRecord(OWNER, 'processor_config.json', newer);
  const image = older ?? image_processor;
  if (image === undefined) {
    throw new RangeError(
      `${OWNER}: a checkpoint must have preprocessor_config.json, or processor_config.json with image_processor, got neither.`,
    );
  }
  const video =
    (await readOptionalJson(store, 'video_preprocessor_config.json')) ?? video_processor;
  const settings = parseMediaSettings('image', image, sizes);
  return {
    image: settings,
    video: video === undefined ? settings : parseMediaSettings('video', video, sizes),
  };
}

/** @param kind whose settings they are; those of pictures may serve for videos too. */
export function parseMediaSettings(
  kind: 'image' | 'video',
  json: unknown,
  sizes: PatchSizes,
): MediaSettings {
  const where = `the ${kind} processor`;
  const raw = jsonRecord(OWNER, where, json);
  assertSameSizes(where, raw, sizes);
  const samples = parseSampleSettings(OWNER, raw);
  const settings: MediaSettings = {
    convertRgb: samples.convertRgb,
    tables: [0, 1, 2].map((channel) => sampleTable(samples, channel)),
  };
  if (parseResizes(OWNER, raw)) settings.limits = parseLimits(kind, where, raw);
  return settings;
}

/** Published as `min_pixels` and `max_pixels`, which win, or as `size` with two edges. */
function parseLimits(
  kind: 'image' | 'video',
  where: string,
  raw: Record<string, unknown>,
): MediaSettings['limits'] {
  const size = jsonRecord(OWNER, `size of ${where}`, raw.size ?? DEFAULT_LIMITS[kind]);
  const pixels = (name: string, edge: 'shortest_edge' | 'longest_edge') =>
    positiveInteger(OWNER, `${name} of ${where}`, raw[name] ?? size[edge], MAX_PIXELS);
  const limits = {
    minPixels: pixels('min_pixels', 'shortest_edge'),
    maxPixels: pixels('max_pixels', 'longest_edge'),
  };
  if (limits.minPixels <= limits.maxPixels) return limits;
  throw new RangeError(
    `${OWNER}: min_pixels of ${where} must not exceed max_pixels, got ${limits.minPixels} and ${limits.maxPixels}.`,
  );
}

/** What the processor cuts must be what the tower takes. */
function assertSameSizes(where: string, raw: Record<string, unknown>, sizes: PatchSizes): void {
  const expected = {
    patch_size: sizes.patchSize,
    temporal_patch_size: sizes.temporalPatchSize,
    merge_size: sizes.spatialMergeSize,
  };
  for (const [key, size] of Object.entries(expected)) {
    const found = raw[key] ?? size;
    if (found === size) continue;
    throw new RangeError(
      `${OWNER}: ${key} of ${where} must be ${size} by config.json, got ${showJson(found)}.`,
    );
  }
}
