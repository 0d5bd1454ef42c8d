/** What all image processors do to the samples of a picture: RGB, rescale, normalise. */
import { showJson } from '@mha2mla/checkpoint';
import { finite, flag, triple } from './setting-values';

export interface SampleSettings {
  /** Absent: samples stay 0..255. */
  rescaleFactor?: number;
  /** Absent: no normalisation. Three channels each. */
  normalize?: { mean: readonly number[]; std: readonly number[] };
  convertRgb: boolean;
}

/** PIL's number for bicubic, the filter of all processors that are read. */
const BICUBIC = 3;

/** Statistics of OpenAI's CLIP training pictures, Hugging Face's defaults. */
const CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073];
const CLIP_STD = [0.26862954, 0.26130258, 0.27577711];

/** @throws TypeError, RangeError naming the key. */
export function parseSampleSettings(
  owner: string,
  raw: Readonly<Record<string, unknown>>,
): SampleSettings {
  const settings: SampleSettings = { convertRgb: flag(owner, raw, 'do_convert_rgb') };
  if (flag(owner, raw, 'do_rescale')) {
    settings.rescaleFactor = finite(owner, 'rescale_factor', raw.rescale_factor ?? 1 / 255);
  }
  if (flag(owner, raw, 'do_normalize')) {
    const std = triple(owner, 'image_std', raw.image_std ?? CLIP_STD);
    if (std.some((value) => value <= 0)) {
      throw new RangeError(`${owner}: image_std must be positive, got [${std}].`);
    }
    settings.normalize = { mean: triple(owner, 'image_mean', raw.image_mean ?? CLIP_MEAN), std };
  }
  return settings;
}

/** Whether pictures are resized, by the one filter that is known. @throws RangeError for others. */
export function parseResizes(owner: string, raw: Readonly<Record<string, unknown>>): boolean {
  if (!flag(owner, raw, 'do_resize')) return false;
  const filter = raw.resample ?? BICUBIC;
  if (filter === BICUBIC) return true;
  throw new RangeError(`${owner}: resample must be 3 (bicubic), got ${showJson(filter)}.`);
}
