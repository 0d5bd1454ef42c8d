import { sliceWords } from './kernels/slice-words';
import { packedLayout } from './packed-layout';
import { PackedTensor } from './packed-tensor';

/**
 * Take a range of tokens. Words are copied, nothing is quantized again.
 * @param packed [..., T, C]. Not disposed.
 * @param begin first token; where groups are of tokens, the first of a group.
 * @param end token after the last; inside a group of tokens, that group keeps its parameters.
 * @returns the packed tensor [..., end - begin, C], the caller disposes it.
 * @throws RangeError if the range does not lie in the tokens or does not begin a group.
 */
export function slicePacked(packed: PackedTensor, begin: number, end: number): PackedTensor {
  const { shape, spec } = packed;
  const axis = shape.length - 2;
  if (axis < 0) {
    throw new RangeError(`slicePacked: a packed vector has no axis of tokens, got [${shape}].`);
  }
  const layout = packedLayout('slicePacked', spec, shape);
  const whole = Number.isInteger(begin) && Number.isInteger(end);
  if (!whole || begin < 0 || end < begin || end > layout.tokens) {
    throw new RangeError(
      `slicePacked: begin and end must be whole numbers, 0 <= begin <= end <= ${layout.tokens}, got ${begin} and ${end}.`,
    );
  }
  const perRow = layout.axis === 'channel' ? layout.groupSize : 1; // tokens a row of params
  if (begin % perRow !== 0) {
    throw new RangeError(
      `slicePacked: begin must be the first token of a group of ${perRow}, got begin=${begin}.`,
    );
  }
  const newShape = shape.map((size, i) => (i === axis ? end - begin : size));
  const codes = sliceWords(packed.codes, axis, begin, end - begin);
  const row = begin / perRow;
  const rows = Math.ceil((end - begin) / perRow);
  return new PackedTensor(
    newShape,
    spec,
    codes,
    packed.params && sliceWords(packed.params, axis, row, rows),
  );
}
