/** Gradients of the operations that cut a region out, or pad around one. */
import * as tf from '@tensorflow/tfjs-core';

export const sliceGradients: tf.GradConfig[] = [
  {
    kernelName: tf.Slice,
    inputsToSave: ['x'],
    gradFunc: (dy, [x], attrs) => ({
      x: () => {
        const { begin, size } = attrs as unknown as tf.SliceAttrs;
        const [from, sizes] = tf.slice_util.parseSliceParams(x!, begin, size);
        const paddings = from!.map((start, i): [number, number] => [
          start,
          x!.shape[i]! - start - sizes![i]!,
        ]);
        return tf.pad(dy as tf.Tensor, paddings);
      },
    }),
  },
  {
    kernelName: tf.PadV2,
    inputsToSave: ['x'],
    gradFunc: (dy, [x], attrs) => ({
      x: () => {
        const { paddings } = attrs as unknown as tf.PadV2Attrs;
        const begin = paddings.map(([before]) => before);
        return tf.slice(dy as tf.Tensor, begin, x!.shape);
      },
    }),
  },
  {
    kernelName: tf.StridedSlice,
    inputsToSave: ['x'],
    gradFunc: (dy, [x], attrs) => ({
      x: () => scatterStrides(dy as tf.Tensor, x!, attrs as unknown as tf.StridedSliceAttrs),
    }),
  },
];

/** Put the elements of `dy` back where the slice took them from, zeros elsewhere. */
function scatterStrides(dy: tf.Tensor, x: tf.Tensor, attrs: tf.StridedSliceAttrs): tf.Tensor {
  const info = tf.slice_util.sliceInfo(
    x.shape,
    attrs.begin,
    attrs.end,
    attrs.strides,
    attrs.beginMask,
    attrs.endMask,
    attrs.ellipsisMask,
    attrs.newAxisMask,
    attrs.shrinkAxisMask,
  );
  if (info.strides.some((stride) => stride < 0)) {
    throw new RangeError(
      `StridedSlice gradient: strides must be positive, got strides=[${info.strides}]. Reverse with tf.reverse.`,
    );
  }
  // The shape before new and shrunk axes were applied.
  const counts = x.shape.map((_, i) =>
    Math.ceil((info.end[i]! - info.begin[i]!) / info.strides[i]!),
  );
  let out = tf.reshape(dy, counts);
  x.shape.forEach((size, axis) => {
    out = spreadAxis(out, axis, size, info.begin[axis]!, info.strides[axis]!);
  });
  return out;
}

function spreadAxis(
  dy: tf.Tensor,
  axis: number,
  size: number,
  begin: number,
  stride: number,
): tf.Tensor {
  const count = dy.shape[axis]!;
  const before = dy.shape.slice(0, axis);
  const after = dy.shape.slice(axis + 1);
  const outer = before.reduce((product, n) => product * n, 1);
  const inner = after.reduce((product, n) => product * n, 1);
  // [outer, count, 1, inner] -> [outer, count * stride, inner]: stride - 1 zeros after each element
  const gaps: [number, number][] = [
    [0, 0],
    [0, 0],
    [0, stride - 1],
    [0, 0],
  ];
  const spread = tf.pad(tf.reshape(dy, [outer, count, 1, inner]), gaps);
  const flat = tf.reshape(spread, [outer, count * stride, inner]);
  const used = Math.min(count * stride, size - begin);
  const cut = tf.slice(flat, [0, 0, 0], [outer, used, inner]);
  const padded = tf.pad(cut, [
    [0, 0],
    [begin, size - begin - used],
    [0, 0],
  ]);
  return tf.reshape(padded, [...before, size, ...after]);
}
