/**
 * x Wᵀ on webgpu with W packed (f16, int8 or int4 with scales by group), read as it lies: no value of
 * it is ever written to memory. A few rows of x share each word that is read, by 16 lanes an output
 * (as matVec does); many rows go by tiles of 32 rows and 32 outputs.
 */
import * as tf from '@tensorflow/tfjs-core';
import { isIntegerFormat, type PackedForm, VALUES_A_WORD } from '../webgpu/weight-format';
import { scaledValue, scaleElement, scalesKey, valueFunctions } from './packed-value';
import { programForm, registerWebGpuKernel } from './webgpu-kernel';

const KERNEL = 'PackedMatMul';
const THREADS = 64;
/** Rows of x that are a few, and threads that share an output then. */
const FEW = 4;
const LANES = 16;
const TILE = 32;
/** Rows, and outputs, of a thread in a tile: 64 threads make 32 x 32 of 4 x 4. */
const SIDE = 4;

export interface PackedShape extends PackedForm {
  inputs: number;
}

export interface PackedPart {
  outputs: number;
  /** int32 [outputs, ceil(inputs / values a word)]. */
  words: tf.Tensor2D;
  /** [outputs, ceil(inputs / groupSize)], of int8 and int4; int32 where they hold zero points. */
  scales?: tf.Tensor2D;
}

/** @param x [M, inputs]. @returns [M, outputs]; the caller disposes it. */
export function packedMatMul(x: tf.Tensor2D, part: PackedPart, shape: PackedShape): tf.Tensor2D {
  register();
  const { words, scales } = part;
  const inputs = { x, words, ...(scales && { scales }) };
  const { format, groupSize, zeroPoints = false } = shape;
  const attrs = { format, groupSize, zeroPoints, inputs: shape.inputs };
  return tf.engine().runKernel(KERNEL, inputs, attrs);
}

function register(): void {
  registerWebGpuKernel(KERNEL, ({ x, words, scales }, attrs) => ({
    program: packedMatMulProgram(attrs as unknown as PackedShape, x!.shape[0]!, words!.shape[0]!),
    inputs: scales ? [x!, words!, scales] : [x!, words!],
  }));
}

/** The program for M rows of x; numbers of rows and outputs come from the shapes of each run. */
export function packedMatMulProgram(shape: PackedShape, M: number, O: number) {
  const { format, inputs } = shape;
  const few = M <= FEW;
  const rows = few && M > 1 ? FEW : 1; // two programs, not four
  const groups = few ? Math.ceil((O * LANES) / THREADS) : Math.ceil(M / TILE) * Math.ceil(O / TILE);
  const variableNames = isIntegerFormat(format) ? ['x', 'words', 'scales'] : ['x', 'words'];
  return {
    outputShape: [M, O],
    ...programForm(variableNames, groups, THREADS),
    shaderKey: `packedMatMul ${format} ${inputs} ${scalesKey(shape)} ${few ? rows : 'tiles'}`,
    getUserCode: () => accessors(shape) + (few ? fewRows(shape, rows) : tiles(shape)),
  };
}

/** Scale and values of a word; a word has one scale, as groups are multiples of 8. */
function accessors(shape: PackedShape): string {
  const { format, inputs, groupSize, zeroPoints } = shape;
  const at = `o * ${Math.ceil(inputs / groupSize)} + i / ${groupSize}`;
  const scale = isIntegerFormat(format) ? scaleElement(shape, at) : '1.0';
  return /* wgsl */ `
${valueFunctions(shape)}
fn scale_at(o : i32, i : i32) -> ${zeroPoints ? 'u32' : 'f32'} { return ${scale}; }`;
}

function fewRows(shape: PackedShape, rows: number): string {
  const { format, inputs } = shape;
  const perWord = VALUES_A_WORD[format];
  const words = Math.ceil(inputs / perWord);
  return /* wgsl */ `
var<workgroup> part : array<f32, ${rows * THREADS}>; // at most 1 KiB

fn main(index : i32) {
  let M = uniforms.xShape.x;
  let O = uniforms.wordsShape.x;
  let thread = i32(localIndex);
  let lane = thread % ${LANES};
  let o = index / ${LANES}; // beyond O in groups that fill up the grid
  var sums : array<f32, ${rows}>;
  if (o < O) {
    for (var w = lane; w < ${words}; w += ${LANES}) {
      let word = bitcast<u32>(words[o * ${words} + w]);
      let scale = scale_at(o, w * ${perWord});
      for (var k = 0; k < ${perWord}; k++) {
        let i = w * ${perWord} + k;
        ${inputs % perWord === 0 ? '' : `if (i >= ${inputs}) { break; }`}
        let v = ${scaledValue(shape, 'word', 'u32(k)', 'scale')};
        for (var m = 0; m < ${rows}; m++) { sums[m] += v * x[min(m, M - 1) * ${inputs} + i]; }
      }
    }
  }
  for (var m = 0; m < ${rows}; m++) { part[m * ${THREADS} + thread] = sums[m]; }
  for (var stride = ${LANES / 2}; stride > 0; stride >>= 1u) {
    workgroupBarrier(); // a lane reads what another has written
    for (var m = 0; lane < stride && m < ${rows}; m++) {
      let at = m * ${THREADS} + thread;
      part[at] += part[at + stride];
    }
  }
  if (lane != 0 || o >= O) { return; }
  for (var m = 0; m < min(${rows}, M); m++) { result[m * O + o] = part[m * ${THREADS} + thread]; }
}`;
}

function tiles(shape: PackedShape): string {
  const { format, inputs, zeroPoints } = shape;
  const perWord = VALUES_A_WORD[format];
  const words = Math.ceil(inputs / perWord);
  const tileWords = TILE / perWord;
  return /* wgsl */ `
var<workgroup> tile_x : array<f32, ${TILE * TILE}>; // 4 KiB, [row, input]
var<workgroup> tile_w : array<f32, ${TILE * TILE}>; // 4 KiB, [input, output]

fn main(index : i32) {
  let M = uniforms.xShape.x;
  let O = uniforms.wordsShape.x;
  let thread = i32(localIndex);
  let across = (O + ${TILE - 1}) / ${TILE};
  // Groups that fill up the grid do the last one again.
  let group = min(index / ${THREADS}, (M + ${TILE - 1}) / ${TILE} * across - 1);
  let first_row = group / across * ${TILE};
  let first_output = group % across * ${TILE};
  let row = thread / ${TILE / SIDE} * ${SIDE};
  let output = thread % ${TILE / SIDE} * ${SIDE};
  var sums : array<vec4<f32>, ${SIDE}>;
  for (var start = 0; start < ${inputs}; start += ${TILE}) {
    for (var at = thread; at < ${TILE * TILE}; at += ${THREADS}) {
      let m = first_row + at / ${TILE};
      let i = start + at % ${TILE};
      tile_x[at] = 0.0;
      if (m < M && i < ${inputs}) { tile_x[at] = x[m * ${inputs} + i]; }
    }
    for (var at = thread; at < ${TILE * tileWords}; at += ${THREADS}) {
      let o = first_output + at / ${tileWords};
      let inner = at % ${tileWords} * ${perWord};
      let w = (start + inner) / ${perWord};
      var word = 0u;
      var scale = ${zeroPoints ? '0u' : '0.0'};
      if (o < O && w < ${words}) {
        word = bitcast<u32>(words[o * ${words} + w]);
        scale = scale_at(o, start + inner);
      }
      for (var k = 0; k < ${perWord}; k++) {
        tile_w[(inner + k) * ${TILE} + at / ${tileWords}] = ${scaledValue(shape, 'word', 'u32(k)', 'scale')};
      }
    }
    workgroupBarrier(); // sums read both tiles
    for (var i = 0; i < ${TILE}; i++) {
      let at = i * ${TILE} + output;
      let w = vec4<f32>(tile_w[at], tile_w[at + 1], tile_w[at + 2], tile_w[at + 3]);
      for (var r = 0; r < ${SIDE}; r++) { sums[r] += tile_x[(row + r) * ${TILE} + i] * w; }
    }
    workgroupBarrier(); // the next tiles take their place
  }
  for (var r = 0; r < ${SIDE}; r++) {
    for (var c = 0; c < ${SIDE}; c++) {
      let m = first_row + row + r;
      let o = first_output + output + c;
      if (m < M && o < O) { result[m * O + o] = sums[r][c]; }
    }
  }
}`;
}
