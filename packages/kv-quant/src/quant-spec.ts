/** How vectors are stored: the method, and what it can be set to. */
import { resolveStatic, type StaticSpec } from './static-spec';

/**
 * Which values share a scale. `token`: consecutive channels of one token (KIVI's layout of values).
 * `channel`: one channel of consecutive tokens (KIVI's layout of keys).
 */
export type QuantAxis = 'token' | 'channel';

/** Scale and zero point a group, as halves: min and max of the group (affine), or fitted (hqq). */
export interface AffineSpec {
  method: 'affine' | 'hqq';
  bits: 2 | 3 | 4 | 8;
  /** Values that share a scale and a zero point; the last group may be shorter. Default 32. */
  groupSize?: number;
  /** Default 'token'. */
  axis?: QuantAxis;
}

/** One float32 factor a group, and the codebook that is best for Gaussian values. */
export interface LloydMaxSpec {
  method: 'lloyd-max';
  bits: 2 | 3 | 4;
  /** Channels that share a factor and are rotated together. Default: the whole vector. */
  groupSize?: number;
  /** 'none' where the values were rotated before, say by folded weights. Default 'hadamard'. */
  rotation?: 'hadamard' | 'none';
}

/** Symmetric 8 bits: one float32 scale a group. */
export interface Int8Spec {
  method: 'int8';
  /** Channels that share a scale. Default: the whole vector. */
  groupSize?: number;
}

/** IEEE 754 binary16, no groups. */
export interface HalfSpec {
  method: 'half';
}

/** How vectors are packed: the method, its bits and its groups. */
export type QuantSpec = AffineSpec | LloydMaxSpec | Int8Spec | HalfSpec | StaticSpec;

/** A spec with its defaults, equal for all methods; kernels get it among their attributes. */
export interface ResolvedSpec {
  method: QuantSpec['method'];
  /** Of a code; of 'static', the most that any has. */
  bits: 0 | 2 | 3 | 4 | 8 | 16;
  axis: QuantAxis;
  /** Values a group; 0 where there are no groups. */
  groupSize: number;
  rotation: 'hadamard' | 'none';
  /** Of 'static' alone. */
  table?: StaticSpec;
}

const BITS: Record<Exclude<QuantSpec['method'], 'static'>, readonly number[]> = {
  affine: [2, 3, 4, 8],
  hqq: [2, 3, 4, 8],
  'lloyd-max': [2, 3, 4],
  int8: [8],
  half: [16],
};

/** Where the two may be left out, as they have one value. */
const FIXED_BITS: Partial<Record<string, number>> = { int8: 8, half: 16 };

const DEFAULT_GROUP = 32;

/**
 * Check a spec and fill in its defaults.
 * @param caller name of the public function, for the messages.
 * @param channels of a vector; `undefined` while they are not known.
 * @throws RangeError for an unknown method, bits it does not have, a bad size, axis or rotation, or
 * a table that does not fit.
 */
export function resolveSpec(
  caller: string,
  spec: QuantSpec,
  channels: number | undefined,
): ResolvedSpec {
  checkChannels(caller, channels);
  if (spec.method === 'static') return resolveStatic(caller, spec, channels);
  const { method, bits, groupSize, axis = 'token', rotation } = withAllKeys(spec);
  const choices = Object.hasOwn(BITS, method) ? BITS[method] : undefined;
  if (!choices) {
    const methods = [...Object.keys(BITS), 'static'].join(', ');
    throw new RangeError(`${caller}: method must be one of ${methods}, got method=${method}.`);
  }
  const ownBits = bits ?? FIXED_BITS[method];
  if (ownBits === undefined || !choices.includes(ownBits)) {
    throw new RangeError(
      `${caller}: bits of ${method} must be one of ${choices.join(', ')}, got bits=${bits}.`,
    );
  }
  if (groupSize !== undefined && !(Number.isSafeInteger(groupSize) && groupSize >= 1)) {
    throw new RangeError(
      `${caller}: groupSize must be a positive integer, got groupSize=${groupSize}.`,
    );
  }
  const grouped = method === 'affine' || method === 'hqq';
  if (axis !== 'token' && !(axis === 'channel' && grouped)) {
    const axes = grouped ? "'token' or 'channel'" : "'token'";
    throw new RangeError(`${caller}: axis of ${method} must be ${axes}, got axis=${axis}.`);
  }
  const rotated = method === 'lloyd-max';
  if (rotation !== undefined && !(rotated && (rotation === 'hadamard' || rotation === 'none'))) {
    throw new RangeError(
      `${caller}: rotation must be 'hadamard' or 'none', and only of lloyd-max, got rotation=${rotation} of ${method}.`,
    );
  }
  return {
    method,
    bits: ownBits as ResolvedSpec['bits'],
    axis,
    groupSize: method === 'half' ? 0 : (groupSize ?? (grouped ? DEFAULT_GROUP : (channels ?? 0))),
    rotation: rotated ? (rotation ?? 'hadamard') : 'none',
  };
}

function checkChannels(caller: string, channels: number | undefined): void {
  if (channels === undefined || (Number.isSafeInteger(channels) && channels >= 0)) return;
  throw new RangeError(
    `${caller}: channels must be a whole number from 0, got channels=${channels}.`,
  );
}

interface AllKeys {
  method: Exclude<QuantSpec['method'], 'static'>;
  bits?: number;
  groupSize?: number;
  axis?: string;
  rotation?: string;
}

function withAllKeys(spec: Exclude<QuantSpec, StaticSpec>): AllKeys {
  return spec;
}

/** Bits of all codes, or those of the bands of a table. */
export interface CodeWidths {
  bits: number;
  table?: Pick<StaticSpec, 'bands'>;
}

/** Codes of one width in a token. */
export interface BandPlace {
  bits: number;
  channels: number;
  /** The first of the channels. */
  first: number;
  /** The word of the token that they begin at. */
  word: number;
  /** Words that they take. */
  words: number;
}

/** The codes of a token, run by run of one width. */
export function bandsOf({ bits, table }: CodeWidths, channels: number): readonly BandPlace[] {
  const places: BandPlace[] = [];
  let [first, word] = [0, 0];
  for (const band of table?.bands ?? [{ bits, channels }]) {
    const words = Math.ceil((band.channels * band.bits) / 32);
    places.push({ ...band, first, word, words });
    first += band.channels;
    word += words;
  }
  return places;
}

/** Words of a token's codes. */
export function codeWords(spec: CodeWidths, channels: number): number {
  return bandsOf(spec, channels).reduce((sum, band) => sum + band.words, 0);
}
