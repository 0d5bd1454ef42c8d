/** What the kernels have in common that pack or unpack groups. */
import type * as tf from '@tensorflow/tfjs-core';
import { type PackedLayout, packedShapes } from '../packed-layout';
import type { PackedTensor } from '../packed-tensor';
import { packCodes } from './code-words';
import { registerHostKernel } from './host-kernel';
import { runKernel } from './run-kernel';

/** A group of values: `count` of them, the first at `first`, each `stride` after the one before. */
export interface Group {
  first: number;
  count: number;
  stride: number;
}

/** Write the group's codes at the places of its values, and return its word of parameters. */
export type EncodeGroup = (
  x: Float32Array,
  group: Group,
  layout: PackedLayout,
  codes: Uint8Array,
) => number;

export type PackRows = (
  x: Float32Array,
  layout: PackedLayout,
  words: Int32Array,
  params: Int32Array,
) => void;

export type UnpackRows = (
  words: Int32Array,
  params: Int32Array,
  layout: PackedLayout,
  values: Float32Array,
) => void;

const NO_WORDS = new Int32Array(0);

/** Added and taken away again, it rounds a number below 2^51 to an integer, ties to even. */
export const ROUNDER = 1.5 * 2 ** 52;

/** An op that runs kernel `name`: x [..., T, C] to words of codes and of params. */
export function packOp(name: string, pack: PackRows) {
  return (x: tf.Tensor, layout: PackedLayout): tf.Tensor[] => {
    registerHostKernel(name, (inputs, attrs) => {
      const own = attrs as unknown as PackedLayout;
      return {
        outputs: packedShapes(inputs.x!.shape, own).map((shape) => ({ shape, dtype: 'int32' })),
        run({ x }, [words, params = NO_WORDS]) {
          pack(x as Float32Array, own, words as Int32Array, params as Int32Array);
        },
      };
    });
    return runKernel(name, { x }, { ...layout } as object as tf.NamedAttrMap);
  };
}

/** An op that runs kernel `name`: words to values [..., T, C]. */
export function unpackOp(name: string, unpack: UnpackRows) {
  return (packed: Pick<PackedTensor, 'codes' | 'params'>, layout: PackedLayout): tf.Tensor => {
    registerHostKernel(name, (inputs, attrs) => {
      const own = attrs as unknown as PackedLayout;
      const shape = [...inputs.codes!.shape.slice(0, -1), own.channels];
      return {
        outputs: [{ shape, dtype: 'float32' }],
        run({ codes, params = NO_WORDS }, [values]) {
          unpack(codes as Int32Array, params as Int32Array, own, values as Float32Array);
        },
      };
    });
    const { codes, params } = packed;
    const inputs: tf.NamedTensorMap = params ? { codes, params } : { codes };
    const [values] = runKernel(name, inputs, { ...layout } as object as tf.NamedAttrMap);
    return values!;
  };
}

/** Pack rows by what is done to each group, in the order of the words of params. */
export function packGroups(encode: EncodeGroup): PackRows {
  return (x, layout, words, params) => {
    const { axis, bits, channels, groupSize, tokens } = layout;
    const codes = new Uint8Array(x.length);
    let param = 0;
    if (axis === 'token') {
      for (let row = 0; row < x.length; row += channels) {
        for (let c = 0; c < channels; c += groupSize) {
          const group = { first: row + c, count: Math.min(groupSize, channels - c), stride: 1 };
          params[param++] = encode(x, group, layout, codes);
        }
      }
    } else {
      for (let matrix = 0; matrix < x.length; matrix += tokens * channels) {
        for (let t = 0; t < tokens; t += groupSize) {
          const count = Math.min(groupSize, tokens - t);
          for (let c = 0; c < channels; c++) {
            const group = { first: matrix + t * channels + c, count, stride: channels };
            params[param++] = encode(x, group, layout, codes);
          }
        }
      }
    }
    for (let row = 0, word = 0; row < x.length; row += channels, word += layout.words) {
      packCodes(codes, row, channels, bits, words, word);
    }
  };
}
