/**
 * What a CLIP image processor does to a picture, read from its configuration of either layout.
 * Every number is checked here: it decides allocations later.
 */
import { jsonRecord, showJson } from '../json-record';
import { imageProcessorRecord } from './image-processor-record';

export interface ImageSize {
  height: number;
  width: number;
}

export interface ClipImageProcessorConfig {
  /** Absent: pictures keep their size. */
  resize?: { shortestEdge: number } | ImageSize;
  /** Absent: no crop. */
  crop?: ImageSize;
  /** Absent: samples stay 0..255. */
  rescaleFactor?: number;
  /** Absent: no normalisation. Three channels each. */
  normalize?: { mean: readonly number[]; std: readonly number[] };
  convertRgb: boolean;
}

/** Vision towers see a few hundred pixels a side; a square of 4,096 has 200 MB when normalised. */
export const MAX_EDGE = 4096;

/** PIL's number for bicubic, the filter of all CLIP processors. */
const BICUBIC = 3;

/** Statistics of OpenAI's CLIP training pictures, Hugging Face's defaults. */
const CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073];
const CLIP_STD = [0.26862954, 0.26130258, 0.27577711];

const OWNER = 'parseClipImageProcessorConfig';

/**
 * Parse the configuration, with Hugging Face's defaults for what is missing.
 * @param json the parsed file, of either layout
 * @throws TypeError, RangeError naming the key, with what was expected and got
 */
export function parseClipImageProcessorConfig(json: unknown): ClipImageProcessorConfig {
  const raw = imageProcessorRecord(OWNER, json);
  const config: ClipImageProcessorConfig = { convertRgb: flag(raw, 'do_convert_rgb') };
  if (flag(raw, 'do_resize')) {
    const filter = raw.resample ?? BICUBIC;
    if (filter !== BICUBIC) {
      throw new RangeError(`${OWNER}: resample must be 3 (bicubic), got ${showJson(filter)}.`);
    }
    config.resize = resizeSize(raw.size ?? { shortest_edge: 224 });
  }
  if (flag(raw, 'do_center_crop')) {
    const size = raw.crop_size ?? 224;
    config.crop =
      typeof size === 'number'
        ? { height: edge('crop_size', size), width: edge('crop_size', size) }
        : imageSize('crop_size', jsonRecord(OWNER, 'crop_size', size));
  }
  if (flag(raw, 'do_rescale')) {
    config.rescaleFactor = finite('rescale_factor', raw.rescale_factor ?? 1 / 255);
  }
  if (flag(raw, 'do_normalize')) {
    const std = triple('image_std', raw.image_std ?? CLIP_STD);
    if (std.some((value) => value <= 0)) {
      throw new RangeError(`${OWNER}: image_std must be positive, got [${std}].`);
    }
    config.normalize = { mean: triple('image_mean', raw.image_mean ?? CLIP_MEAN), std };
  }
  return config;
}

function resizeSize(size: unknown): { shortestEdge: number } | ImageSize {
  // A bare number is the old form of shortest_edge.
  if (typeof size === 'number') return { shortestEdge: edge('size', size) };
  const raw = jsonRecord(OWNER, 'size', size);
  if (raw.shortest_edge !== undefined && raw.longest_edge === undefined) {
    return { shortestEdge: edge('size.shortest_edge', raw.shortest_edge) };
  }
  return imageSize('size', raw);
}

function imageSize(name: string, raw: Record<string, unknown>): ImageSize {
  if (raw.height === undefined || raw.width === undefined) {
    throw new RangeError(
      `${OWNER}: ${name} must have height and width (or shortest_edge alone, in size), got keys [${Object.keys(raw).slice(0, 5)}].`,
    );
  }
  return { height: edge(`${name}.height`, raw.height), width: edge(`${name}.width`, raw.width) };
}

function edge(name: string, value: unknown): number {
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > MAX_EDGE) {
    throw new RangeError(
      `${OWNER}: ${name} must be an integer in 1..${MAX_EDGE}, got ${showJson(value)}.`,
    );
  }
  return value as number;
}

function flag(raw: Record<string, unknown>, name: string): boolean {
  const value = raw[name] ?? true;
  if (typeof value !== 'boolean') {
    throw new TypeError(`${OWNER}: ${name} must be true or false, got ${showJson(value)}.`);
  }
  return value;
}

function finite(name: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new TypeError(`${OWNER}: ${name} must be a finite number, got ${showJson(value)}.`);
  }
  return value;
}

function triple(name: string, value: unknown): number[] {
  if (!Array.isArray(value) || value.length !== 3) {
    throw new TypeError(`${OWNER}: ${name} must be three numbers, got ${showJson(value)}.`);
  }
  return value.map((item) => finite(name, item));
}
