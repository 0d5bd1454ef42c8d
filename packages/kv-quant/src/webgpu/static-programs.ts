/**
 * Static scales on webgpu. Nothing can be read back to refuse it: a NaN becomes code 0 there, an
 * infinity the end of its range.
 */
import * as tf from '@tensorflow/tfjs-core';
import { type PackedLayout, packedShapes } from '../packed-layout';
import { bandsOf } from '../quant-spec';
import { CODE_IN, WORD_OF } from './group-places';
import { SMALL_FLOAT } from './small-float';
import { STATIC_WGSL } from './static-wgsl';
import { runElements, type WebGpuBackend } from './webgpu-kernel';

/** The place in the table of a row's channel: the heads take turns. */
const TABLE_AT = /* wgsl */ `
fn table_at(row : i32, c : i32) -> i32 {
  return row / uniforms.tokens * uniforms.channels % uniforms.tableSize + c;
}
fn band_of(c : i32) -> vec4<i32> {
  var band = BANDS[0];
  for (var k = 1; k < COUNT; k++) { if (c >= BANDS[k].y) { band = BANDS[k]; } }
  return band;
}`;

const CODES = /* wgsl */ `
fn code_for(row : i32, c : i32) -> u32 {
  let at = table_at(row, c);
  let value = bitcast<u32>(x[row * uniforms.channels + c]);
  let levels = f32((1 << u32(band_of(c).x)) - 1);
  return static_code(value, bitcast<u32>(scales[at]), bitcast<u32>(zeros[at]), levels);
}

fn element(i : i32) -> i32 {
  let place = i % uniforms.words;
  var band = BANDS[0];
  for (var k = 1; k < COUNT; k++) {
    if (BANDS[k].x > 0 && (band.x == 0 || place >= BANDS[k].w)) { band = BANDS[k]; }
  }
  return word_of(i / uniforms.words, band.y, band.z, band.x, place - band.w);
}`;

/** Where no band has bits there is no buffer to read. */
const NO_CODES = 'fn code_in(first : i32, place : i32, bits : i32) -> u32 { return 0u; }';

const VALUES = /* wgsl */ `
fn element(i : i32) -> f32 {
  let row = i / uniforms.channels;
  let c = i % uniforms.channels;
  let at = table_at(row, c);
  let band = band_of(c);
  if (band.x == 0) { return zeros[at]; }
  let small = is_small_step(bitcast<u32>(scales[at]), bitcast<u32>(zeros[at]));
  let zero = lifted(bitcast<u32>(zeros[at]), small);
  let scale = lifted(bitcast<u32>(scales[at]), small);
  return bitcast<f32>(lowered(f32(code_in(row * uniforms.words + band.w, c - band.y, band.x)) * scale + zero, small));
}`;

/** @returns words of codes. */
export function packStatic(
  backend: WebGpuBackend,
  x: tf.TensorInfo,
  layout: PackedLayout,
): tf.TensorInfo {
  const { key, integers, constants } = describe(layout);
  return withTable(layout, (table) =>
    runElements(backend, {
      key: `staticCodes ${key}`,
      shape: packedShapes(x.shape, layout)[0]!,
      dtype: 'int32',
      inputs: { x, ...table },
      integers,
      code: constants + SMALL_FLOAT + STATIC_WGSL + TABLE_AT + WORD_OF + CODES,
    }),
  );
}

/** @returns values. */
export function unpackStatic(
  backend: WebGpuBackend,
  codes: tf.TensorInfo,
  layout: PackedLayout,
): tf.TensorInfo {
  const { key, integers, constants } = describe(layout);
  const held: Record<string, tf.TensorInfo> = layout.words > 0 ? { codes } : {};
  return withTable(layout, (table) =>
    runElements(backend, {
      key: `staticValues ${key}`,
      shape: [...codes.shape.slice(0, -1), layout.channels],
      dtype: 'float32',
      inputs: { ...held, ...table },
      integers,
      code:
        constants +
        SMALL_FLOAT +
        STATIC_WGSL +
        TABLE_AT +
        (layout.words > 0 ? CODE_IN : NO_CODES) +
        VALUES,
    }),
  );
}

type Table = Record<'scales' | 'zeros', tf.TensorInfo>;

function withTable({ table }: PackedLayout, run: (tensors: Table) => tf.TensorInfo): tf.TensorInfo {
  const tensors = { scales: tf.tensor1d(table!.scales), zeros: tf.tensor1d(table!.zeros) };
  const output = run(tensors);
  tf.dispose(tensors);
  return output;
}

/** `BANDS[k]`: bits, first channel, channels and first word of each. */
function describe(layout: PackedLayout) {
  const { channels, tokens, words, table } = layout;
  const bands = bandsOf(layout, channels);
  const rows = bands.map(
    ({ bits, first, channels: count, word }) => `vec4(${bits}, ${first}, ${count}, ${word})`,
  );
  return {
    key: bands.map((band) => `${band.bits}x${band.channels}`).join(),
    integers: { channels, tokens, words, tableSize: table!.scales.length },
    constants: `const COUNT = ${rows.length};\nvar<private> BANDS : array<vec4<i32>, ${rows.length}> = array(${rows});\n`,
  };
}
