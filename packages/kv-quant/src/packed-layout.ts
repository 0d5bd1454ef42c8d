/**
 * Where the parts of packed vectors lie: a row of `words` 32-bit words of codes a token, and rows of
 * `paramWidth` words of parameters, one a token (axis `token`) or one a group of tokens (`channel`).
 */
import { codeWords, type QuantSpec, type ResolvedSpec, resolveSpec } from './quant-spec';

/** Attributes of the kernels that pack and unpack. */
export interface PackedLayout extends ResolvedSpec {
  channels: number;
  /** T, the size of the axis before the last; 1 of a single vector. */
  tokens: number;
  /** Words of codes a token, ceil(channels * bits / 32); of 'static', of each band. */
  words: number;
  /** Rows of parameters for `tokens` tokens. */
  paramRows: number;
  /** Words of parameters a row; 0 where there are none. */
  paramWidth: number;
}

/**
 * Lay out vectors of the shape [..., T, C] or [C].
 * @param caller name of the public function, for the messages.
 * @throws RangeError for a scalar, a bad spec, groups of tokens in a single vector, or other heads
 * than those of a table.
 */
export function packedLayout(
  caller: string,
  spec: QuantSpec,
  shape: readonly number[],
): PackedLayout {
  if (shape.length === 0) {
    throw new RangeError(`${caller}: x must have an axis of channels, got a scalar.`);
  }
  const channels = shape.at(-1)!;
  const resolved = resolveSpec(caller, spec, channels);
  const { axis, groupSize } = resolved;
  if (axis === 'channel' && shape.length < 2) {
    throw new RangeError(
      `${caller}: axis 'channel' must have an axis of tokens before that of channels, got [${shape}].`,
    );
  }
  const heads = (resolved.table?.scales.length ?? channels) / channels;
  if (heads > 1 && shape.at(-3) !== heads) {
    throw new RangeError(
      `${caller}: x must be [..., ${heads}, T, ${channels}] for scales of ${heads} heads, got [${shape}].`,
    );
  }
  const tokens = shape.length < 2 ? 1 : shape.at(-2)!;
  const groups =
    groupSize === 0 ? 0 : Math.ceil((axis === 'token' ? channels : tokens) / groupSize);
  return {
    ...resolved,
    channels,
    tokens,
    words: codeWords(resolved, channels),
    paramRows: axis === 'token' ? tokens : groups,
    paramWidth: axis === 'token' ? groups : channels,
  };
}

/** Shapes of codes and, where there are parameters, of those. */
export function packedShapes(shape: readonly number[], layout: PackedLayout): number[][] {
  const { method, words, paramRows, paramWidth } = layout;
  const codes = [...shape.slice(0, -1), words];
  if (method === 'half' || method === 'static') return [codes];
  const params = [...shape.slice(0, -1), paramWidth];
  if (params.length > 1) params[params.length - 2] = paramRows;
  return [codes, params];
}
