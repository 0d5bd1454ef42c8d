import { expectClose, gaussian } from '@mha2mla/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { jointFactors } from './joint-factors';
import { type LinearAlgebra, loadLinearAlgebra } from './linear-algebra';
import { SecondMoment } from './second-moment';
import { transpose } from './transpose';
import { withFallback } from './with-fallback';

let la: LinearAlgebra;
beforeAll(async () => {
  la = await loadLinearAlgebra();
});

const [D, RANK] = [24, 8];
const random = (length: number, seed: number) => new Float64Array(gaussian(length, seed));
const key = { weight: random(12 * D, 1), dOut: 12 };
const value = { weight: random(20 * D, 2), dOut: 20 };

function momentOf(x: Float64Array): SecondMoment {
  const tokens = x.length / D;
  const moment = new SecondMoment(D);
  moment.sum.set(la.matmul(transpose(x, tokens, D), x, D, tokens, D));
  moment.count = tokens;
  return moment;
}

/** [key; value] of rank 8 as its product, [32, D]. */
function product(moment: Float64Array): Float64Array {
  const { down, upK, upV } = jointFactors(la, { key, value, dIn: D, moment, rank: RANK });
  return la.matmul(Float64Array.from([...upK, ...upV]), down, 32, RANK, D);
}

/** Outputs [32, tokens] of the tokens x. */
function mapOf(weight: Float64Array, x: Float64Array): Float64Array {
  return la.matmul(weight, transpose(x, x.length / D, D), 32, D, x.length / D);
}

function errorOn(x: Float64Array, moment: Float64Array): number {
  const weight = [...key.weight, ...value.weight];
  const residual = product(moment).map((entry, i) => weight[i]! - entry);
  return mapOf(residual, x).reduce((sum, entry) => sum + entry * entry, 0);
}

describe('withFallback', () => {
  test.each([200, 5])('two equal modalities make decoupled equal joint, %i tokens', (tokens) => {
    const x = random(tokens * D, 3);
    const vision = momentOf(x);
    const joint = vision.clone().merge(vision.clone());
    const { moment, usedFallback } = withFallback(vision, joint, { rank: RANK });
    expect(usedFallback).toBe(tokens < 2 * RANK);
    // Five tokens leave some of the eight directions open: what counts is the map of the tokens.
    const outputs = [moment, joint.normalized()].map((own) => mapOf(product(own), x));
    expectClose(outputs[0]!, outputs[1]!, { abs: 1e-11 });
  });

  test('from two tokens a latent dim on, a modality stands alone', () => {
    const joint = momentOf(random(100 * D, 4));
    const [enough, few] = [16, 15].map((tokens) => momentOf(random(tokens * D, 5)));
    expect(withFallback(enough!, joint, { rank: RANK })).toEqual({
      moment: enough!.normalized(),
      usedFallback: false,
    });
    expect(withFallback(few!, joint, { rank: RANK }).usedFallback).toBe(true);
  });

  test('what was seen is kept, and what was not goes by the other tokens', () => {
    const [seen, others] = [random(4 * D, 6), random(200 * D, 7).map((x, i) => x / (1 + (i % D)))];
    const own = momentOf(seen);
    const { moment } = withFallback(own, own.clone().merge(momentOf(others)), { rank: RANK });
    const alone = own.normalized();
    // Four tokens fit into eight dims whole; the four dims left serve the other tokens.
    const scale = seen.reduce((sum, x) => sum + x * x, 0) * D;
    expect(errorOn(seen, moment) / scale).toBeLessThan(1e-4);
    expect(errorOn(others, moment)).toBeLessThan(0.5 * errorOn(others, alone));
  });

  test('one sink token of the other modality does not outvote what was seen', () => {
    const seen = random(4 * D, 8);
    const sink = random(D, 9).map((x) => 1000 * x);
    const own = momentOf(seen);
    const { moment } = withFallback(own, own.clone().merge(momentOf(sink)), { rank: 4 });
    const trace = (values: Float64Array) =>
      values.reduce((sum, x, i) => (i % (D + 1) === 0 ? sum + x : sum), 0);
    expectClose([trace(moment)], [1.001 * trace(own.normalized())], { rel: 1e-12 });
  });

  test.each([
    ['no tokens', 0],
    ['zeros only', 3],
  ])('a modality of %s takes the joint moment', (_, count) => {
    const joint = momentOf(random(50 * D, 10));
    const own = new SecondMoment(D);
    own.count = count;
    const { moment, usedFallback } = withFallback(own, joint, { rank: RANK });
    expect(usedFallback).toBe(true);
    expect(moment).toEqual(joint.normalized());
  });

  test('no tokens at rank 0 still takes the joint moment', () => {
    const joint = momentOf(random(50 * D, 10));
    expect(withFallback(new SecondMoment(D), joint, { rank: 0 }).usedFallback).toBe(true);
  });

  test('refuses other dims, and no tokens at all', () => {
    expect(() => withFallback(new SecondMoment(2), new SecondMoment(3), { rank: 1 })).toThrow(
      'withFallback: both moments must have one dim, got own.dim=2, joint.dim=3.',
    );
    expect(() => withFallback(new SecondMoment(2), new SecondMoment(2), { rank: 1 })).toThrow(
      'withFallback: joint must hold tokens where own has few, got none.',
    );
  });
});
