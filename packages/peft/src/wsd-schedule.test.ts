import { readFileSync } from 'node:fs';
import { expectClose, fixture } from '@mha2mla/testing';
import { expect, it } from 'vitest';
import { wsdSchedule } from './wsd-schedule';

it('wsdSchedule gives the rates of transformers get_wsd_schedule', () => {
  const golden = JSON.parse(readFileSync(fixture('fixtures/peft/schedule.json'), 'utf8'));
  const schedule = wsdSchedule({
    learningRate: golden.lr,
    totalSteps: golden.steps,
    warmupSteps: golden.warmup,
    decaySteps: golden.decay,
  });
  const rates = golden.values.map((_: number, step: number) => schedule(step));
  expectClose(rates, golden.values, { abs: 1e-15 }); // float64 on both sides; rates of 1e-3
  expect(schedule(200)).toBe(golden.value_at_step_200);
  expect(schedule(10_000)).toBe(0);
});

it('wsdSchedule decays over the last tenth unless told otherwise', () => {
  const schedule = wsdSchedule({ learningRate: 2, totalSteps: 25 });
  expect([0, 21, 22].map(schedule)).toEqual([2, 2, 2]);
  expect(schedule(23)).toBeCloseTo(2 * (1 - Math.sqrt(1 / 3)), 12);
  expect(schedule(25)).toBe(0);
});

it('wsdSchedule ends at minLrRatio of the rate', () => {
  const schedule = wsdSchedule({ learningRate: 2, totalSteps: 10, decaySteps: 4, minLrRatio: 0.1 });
  expect(schedule(6)).toBe(2);
  expect(schedule(7)).toBeCloseTo(0.2 + 1.8 * 0.5, 12);
  expect(schedule(10)).toBeCloseTo(0.2, 12);
});

it('wsdSchedule refuses phases that do not fit', () => {
  const options = { learningRate: 1, totalSteps: 10, warmupSteps: 6, decaySteps: 5 };
  expect(() => wsdSchedule(options)).toThrow(/must not exceed totalSteps=10, got 6 \+ 5/);
  expect(() => wsdSchedule({ ...options, warmupSteps: 1.5 })).toThrow(/got warmupSteps=1.5/);
  expect(() => wsdSchedule({ learningRate: 1, totalSteps: 3, warmupSteps: 4 })).toThrow(RangeError);
});
