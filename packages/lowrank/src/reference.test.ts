/** Factors of the tiny LLaVA against those of the reference implementation (float32, torch). */
import { expectClose, type FixtureTensor, fixture, readSafetensors } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { jointFactors } from './joint-factors';
import { loadLinearAlgebra } from './linear-algebra';

const [D, HEADS, HEAD_DIM, ROPE_DIM, RANK] = [128, 4, 32, 16, 64];
const folder = 'fixtures/hf/llava';
const read = (file: string) => readSafetensors(fixture(`${folder}/${file}`));
const checkpoint = read('checkpoint/model.safetensors');
const golden = read('mha2mla/stage2_mdsvd_joint_attn.safetensors');
const moments = read('mha2mla/S.safetensors');
const ranks = read('mha2mla/ranks.safetensors').get('ranks')!;

const floats = (tensor: FixtureTensor | undefined) => new Float64Array(tensor!.data);

/** Rows of k_proj that lose their rotation: those not ranked below half the rope dims. */
function unrotatedRows(weight: Float64Array, layer: number): Float64Array {
  const own = ranks.data.subarray(layer * HEADS * HEAD_DIM, (layer + 1) * HEADS * HEAD_DIM);
  return weight.filter((_, i) => own[Math.floor(i / D)]! >= ROPE_DIM / 2);
}

describe.each([0, 3])('layer %i', (layer) => {
  test.each(['img', 'text'])('%s: up x down equals the reference', async (modality) => {
    const la = await loadLinearAlgebra();
    const prefix = `language_model.model.layers.${layer}.self_attn`;
    const key = unrotatedRows(floats(checkpoint.get(`${prefix}.k_proj.weight`)), layer);
    const value = floats(checkpoint.get(`${prefix}.v_proj.weight`));
    const [dK, dV] = [key.length / D, value.length / D];
    const own = jointFactors(la, {
      key: { weight: key, dOut: dK },
      value: { weight: value, dOut: dV },
      dIn: D,
      moment: floats(moments.get(`${modality}.${layer}`)),
      rank: RANK,
    });
    const theirs = (name: string) =>
      floats(golden.get(`${prefix}.kv_proj_${modality}.${name}.weight`));
    // The reference computes in float32, relatively 4e-6 off the formula; 3.5e-6 was seen here.
    for (const [name, up, rows] of [
      ['up_k', own.upK, dK],
      ['up_v', own.upV, dV],
    ] as const) {
      const expected = la.matmul(theirs(name), theirs('down_kv'), rows, RANK, D);
      expectClose(la.matmul(up, own.down, rows, RANK, D), expected, { abs: 1e-5 });
    }
    expect(own.relativeError).toBeGreaterThan(0.05); // a rank that loses something
  });
});
