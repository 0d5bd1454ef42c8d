/**
 * The linear map of a token a row of the batch, y = W x + b, whose weight is f32, f16, int8 or int4, with what stands
 * around it in a decoder fused in:
 *   norm      x is x / rms(x) * gain; the sum of squares is taken as x is read, and divides at the end.
 *   gated     two weights: y = silu(W x) * (W2 x).
 *   residual  is added.
 * Bytes read: the weight once a row (of a batch mostly from the device's cache, as rows run side by
 * side), x once for each 4 outputs.
 */
import { isIntegerFormat, type PackedForm, VALUES_A_WORD } from '../webgpu/weight-format';
import { ENTRY, GROUP, type WgslProgram } from '../webgpu/wgsl-program';
import { scaledValue, scalesKey, valueFunctions } from './packed-value';

export interface MatVecShape extends Pick<PackedForm, 'format' | 'zeroPoints'> {
  inputs: number;
  outputs: number;
  /** Output of the weight's first row, of a weight that is cut into parts. Default 0. */
  first?: number;
  /** Outputs of all parts. Default `first` + `outputs`. */
  total?: number;
  /** Inputs that share a scale, of int8 and int4. Default 32. */
  groupSize?: number;
  bias?: boolean;
  residual?: boolean;
  gated?: boolean;
  /** Epsilon of the norm; absent without one. */
  normEps?: number;
}

/** Threads that share an output; 4 outputs a workgroup. */
const LANES = 16;
const ROWS = 4;

/**
 * Bindings: y [B, total], x [B, inputs], weight, then of those that there are: its scales, the second
 * weight, its scales, bias [total], residual [B, total], gain [inputs].
 */
export function matVec(shape: MatVecShape): WgslProgram {
  const { inputs, outputs, first = 0, format, groupSize = 32, zeroPoints } = shape;
  const { total = first + outputs } = shape;
  const { bias, residual, gated, normEps } = shape;
  const perWord = VALUES_A_WORD[format];
  const form = { format, groupSize, zeroPoints };
  const words = Math.ceil(inputs / perWord);
  const scaleType = zeroPoints ? 'u32' : 'f32';
  const scaled = (name: string) => (isIntegerFormat(format) ? [[name, scaleType]] : []);
  const names = [
    ['weight', 'u32'],
    ...scaled('scale'),
    ...(gated ? [['weight2', 'u32'], ...scaled('scale2')] : []),
    ...(bias ? [['bias', 'f32']] : []),
    ...(residual ? [['residual', 'f32']] : []),
    ...(normEps === undefined ? [] : [['gain', 'f32']]),
  ];
  const declared = names.map(
    ([name, type], i) =>
      `@group(0) @binding(${i + 2}) var<storage, read> ${name} : array<${type}>;`,
  );
  const valueIn = (word: string, scale: string) =>
    scaledValue(
      form,
      word,
      'k',
      `${scale}[o * ${Math.ceil(inputs / groupSize)}u + i / ${groupSize}u]`,
    );
  const rms = normEps === undefined ? '' : `* inverseSqrt(sum.z / ${inputs}.0 + ${float(normEps)})`;
  const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> y : array<f32>;
@group(0) @binding(1) var<storage, read> x : array<f32>;
${declared.join('\n')}

// Sums of a lane: the product, that of the second weight, squares of x. 1 KiB.
var<workgroup> part : array<vec3<f32>, ${ROWS * LANES}>;

${valueFunctions(form)}

@compute @workgroup_size(${ROWS * LANES})
fn main(${ENTRY}) {
  ${GROUP}
  let x_at = row * ${inputs}u;
  let y_at = row * ${total}u + ${first}u;
  let lane = thread % ${LANES}u;
  let o = group * ${ROWS}u + thread / ${LANES}u;
  var sum = vec3<f32>();
  if (o < ${outputs}u) {
    for (var w = lane; w < ${words}u; w += ${LANES}u) {
      let word = weight[o * ${words}u + w];
      ${gated ? `let word2 = weight2[o * ${words}u + w];` : ''}
      for (var k = 0u; k < ${perWord}u; k++) {
        let i = w * ${perWord}u + k;
        ${inputs % perWord === 0 ? '' : `if (i >= ${inputs}u) { break; }`}
        let v = x[x_at + i]${normEps === undefined ? '' : ' * gain[i]'};
        sum.x += v * ${valueIn('word', 'scale')};
        ${gated ? `sum.y += v * ${valueIn('word2', 'scale2')};` : ''}
        ${normEps === undefined ? '' : 'sum.z += x[x_at + i] * x[x_at + i];'}
      }
    }
  }
  part[thread] = sum;
  for (var stride = ${LANES / 2}u; stride > 0u; stride >>= 1u) {
    workgroupBarrier(); // a lane reads what another has written
    if (lane < stride) { part[thread] += part[thread + stride]; }
  }
  if (lane != 0u || o >= ${outputs}u) { return; }
  sum = part[thread];
  var out = sum.x ${rms};
  ${gated ? `out = out / (1.0 + exp(-out)) * (sum.y ${rms});` : ''}
  ${bias ? `out += bias[${first}u + o];` : ''}
  ${residual ? `out += residual[y_at + o];` : ''}
  y[y_at + o] = out;
}`;
  const flags = [bias && 'b', residual && 'r', gated && 'g', normEps].filter(Boolean).join();
  return {
    key: `matVec ${inputs} ${outputs} ${first} ${total} ${format} ${scalesKey(form)} ${flags}`,
    code,
    groups: Math.ceil(outputs / ROWS),
  };
}

/** A number as WGSL reads it. */
function float(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : `${value}`;
}
