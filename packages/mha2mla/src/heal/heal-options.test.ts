import { describe, expect, test } from 'vitest';
import { planHealing } from './heal-options';
import { healSchedule } from './heal-schedule';

describe('the plan of healing', () => {
  test('has a value for every option, and a scale of 1 for any r', () => {
    const plan = planHealing({});
    expect(Object.values(plan)).not.toContain(undefined);
    expect(plan.loraAlpha).toBe(plan.r);
    expect(planHealing({ r: 3 })).toEqual({ ...plan, r: 3, loraAlpha: 3 });
  });

  test('takes what is given, and the default where undefined is', () => {
    const given = { steps: 5, r: 2, loraAlpha: 8, kd: 0, targetModules: ['q_proj'], seed: 3 };
    expect(planHealing(given)).toEqual({ ...planHealing({}), ...given });
    expect(planHealing({ r: undefined, steps: undefined, kd: undefined })).toEqual(planHealing({}));
  });

  test.each([
    ['steps', [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY], 'be a positive integer'],
    ['batchSize', [0, 2.5], 'be a positive integer'],
    ['r', [0, 0.5, Number.NaN], 'be a positive integer'],
    ['recipe', ['three-stage'], 'be one-stage, layerwise, progressive'],
    ['adapter', ['ia3'], 'be lora, rslora, dora, none'],
    ['seed', [0.5, Number.NaN], 'be an integer'],
    ['learningRate', [0, -1, Number.NaN, Number.POSITIVE_INFINITY], 'be above 0'],
    ['loraAlpha', [0, Number.NaN], 'be above 0'],
    ['temperature', [0, -1], 'be above 0'],
    ['kd', [-0.1, Number.NaN], 'be at least 0'],
    ['hidden', [-1, Number.POSITIVE_INFINITY], 'be at least 0'],
    ['weightDecay', [-1], 'be at least 0'],
    ['patience', [0, 1.5], 'be a positive integer'],
    ['holdOut', [-0.1, 1, Number.NaN], 'lie in [0, 1)'],
    ['mix', [-0.1, 1, Number.NaN], 'lie in [0, 1)'],
    ['warmup', [-0.1], 'be at least 0'],
    ['decay', [-0.1], 'be at least 0'],
  ])('refuses %s of %o: it must %s', (name, values, rule) => {
    for (const value of values) {
      const run = () => planHealing({ [name]: value });
      expect(run).toThrow(RangeError);
      expect(run).toThrow(`planHealing: ${name} must ${rule}, got ${value}.`);
    }
  });

  test('refuses a warmup and a decay that overlap', () => {
    expect(() => planHealing({ warmup: 0.6, decay: 0.5 })).toThrow('got 0.6 and 0.5');
    expect(planHealing({ warmup: 0.5, decay: 0.5 })).toMatchObject({ warmup: 0.5, decay: 0.5 });
  });
});

test('layerwise has no use for what answers, or all layers, are needed for', () => {
  expect(() => planHealing({ recipe: 'layerwise', kd: 1, holdOut: 0.1 })).toThrow(
    'layerwise has no use for kd, holdOut, got 1, 0.1',
  );
  expect(() => planHealing({ recipe: 'layerwise', checkpoint: true })).toThrow(
    'no use for checkpoint',
  );
  expect(planHealing({ recipe: 'layerwise', kd: undefined }).recipe).toBe('layerwise');
});

test('layerwise alone has a choice of what its layers learn on', () => {
  expect(planHealing({ recipe: 'layerwise' }).layerInputs).toBe('student');
  expect(planHealing({ recipe: 'layerwise', layerInputs: 'teacher' }).layerInputs).toBe('teacher');
  expect(() => planHealing({ layerInputs: 'teacher' })).toThrow(
    'layerInputs goes with the recipe layerwise alone, got recipe=one-stage, layerInputs=teacher',
  );
  const other = { recipe: 'layerwise', layerInputs: 'both' } as object;
  expect(() => planHealing(other)).toThrow('layerInputs must be student, teacher, got both');
});

test('progressive has a rank, and nothing else has', () => {
  expect(planHealing({ recipe: 'progressive', rank: 4 }).rank).toBe(4);
  expect(planHealing({})).not.toHaveProperty('rank');
  expect(() => planHealing({ recipe: 'progressive' })).toThrow('recipe=progressive, rank=none');
  expect(() => planHealing({ rank: 4 })).toThrow('recipe=one-stage, rank=4');
  expect(() => planHealing({ recipe: 'progressive', rank: 0.5 })).toThrow('a positive integer');
});

describe('the learning rate', () => {
  const ratesOf = (steps: number, warmup: number, decay: number) => {
    const rate = healSchedule({ learningRate: 2, steps, warmup, decay });
    return Array.from({ length: steps }, (_, step) => rate(step));
  };

  test('rises, stays and falls, and is above 0 in the first and the last update', () => {
    const rates = ratesOf(20, 0.1, 0.5);
    expect(rates.slice(0, 11)).toEqual([1, ...new Array(10).fill(2)]);
    const falling = rates.slice(10);
    for (let i = 1; i < falling.length; i++) expect(falling[i]).toBeLessThan(falling[i - 1]!);
    expect(rates.at(-1)).toBeGreaterThan(0);
  });

  test.each([1, 2, 3, 7])('is above 0 and at most its peak in all of %d updates', (steps) => {
    for (const [warmup, decay] of [
      [0.1, 0.5],
      [0, 0],
      [1, 0],
      [0, 1],
      [0.5, 0.5],
    ] as const) {
      for (const rate of ratesOf(steps, warmup, decay)) {
        expect(rate).toBeGreaterThan(0);
        expect(rate).toBeLessThanOrEqual(2);
      }
    }
  });
});
