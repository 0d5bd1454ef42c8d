/**
 * What a CLIP image processor does to a picture, read from its configuration of either layout.
 * Every number is checked here: it decides allocations later.
 */
import { jsonRecord } from '../json-record';
import { imageProcessorRecord } from './image-processor-record';
import { parseResizes, parseSampleSettings, type SampleSettings } from './sample-settings';
import { flag, positiveInteger } from './setting-values';

export interface ImageSize {
  height: number;
  width: number;
}

export interface ClipImageProcessorConfig extends SampleSettings {
  /** Absent: pictures keep their size. */
  resize?: { shortestEdge: number } | ImageSize;
  /** Absent: no crop. */
  crop?: ImageSize;
}

/** Vision towers see a few hundred pixels a side; a square of 4,096 has 200 MB when normalised. */
export const MAX_EDGE = 4096;

const OWNER = 'parseClipImageProcessorConfig';

/**
 * Parse the configuration, with Hugging Face's defaults for what is missing.
 * @param json the parsed file, of either layout
 * @throws TypeError, RangeError naming the key, with what was expected and got
 */
export function parseClipImageProcessorConfig(json: unknown): ClipImageProcessorConfig {
  const raw = imageProcessorRecord(OWNER, json);
  const config: ClipImageProcessorConfig = parseSampleSettings(OWNER, raw);
  if (parseResizes(OWNER, raw)) config.resize = resizeSize(raw.size ?? { shortest_edge: 224 });
  if (flag(OWNER, raw, 'do_center_crop')) {
    const size = raw.crop_size ?? 224;
    config.crop =
      typeof size === 'number'
        ? { height: edge('crop_size', size), width: edge('crop_size', size) }
        : imageSize('crop_size', jsonRecord(OWNER, 'crop_size', size));
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
  return positiveInteger(OWNER, name, value, MAX_EDGE);
}
