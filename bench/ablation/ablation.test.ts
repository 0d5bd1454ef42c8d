import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { runProcess } from '../run-process.js';
import { CellStore } from './cell-store.js';
import { ablationCells } from './cells.js';
import { accuracyDifference, nllDifference } from './paired.js';
import { plotsOf } from './plots.js';
import { summarise } from './summarise.js';
import { tablesOf } from './tables.js';

const SCRIPT = fileURLToPath(new URL('./ablation.js', import.meta.url));

const runSmoke = () => runProcess(process.execPath, [SCRIPT, '--smoke', '--backend', 'wasm']);

test('the ablation in small: laws hold, and what is there is not done again', async () => {
  const { code, output, log } = await runSmoke();
  const { laws, failures } = JSON.parse(output);
  expect(failures, log).toEqual([]);
  expect(Object.entries(laws).filter(([, holds]) => !holds)).toEqual([]);
  expect(Object.keys(laws).length).toBeGreaterThan(4);
  expect(code).toBe(0);
}, 300_000);

describe('cells', () => {
  const cells = ablationCells(['llava', 'llava_next', 'qwen2_5_vl']);

  test('hold every share that is asked for, with both tables at each', () => {
    for (const table of ['strategy', 'init']) {
      for (const family of ['llava', 'llava_next', 'qwen2_5_vl']) {
        const shares = new Set(
          cells
            .filter((cell) => cell.table === table && cell.family === family && cell.seed === 0)
            .map(({ ropeDim, rank }) => (100 * (ropeDim + rank)) / 64),
        );
        for (const share of [37.5, 25, 18.75, 12.5]) expect(shares).toContain(share);
        expect(shares.has(6.25)).toBe(family === 'llava');
      }
    }
  });

  test('that mean the same conversion are one file, others are others', async () => {
    const store = await CellStore.open('out/ablation');
    const find = (table: string, row: string) =>
      cells.find((cell) => cell.table === table && cell.row === row && cell.family === 'llava')!;
    const best = await store.pathOf(find('strategy', 'mkl, fitted'));
    expect(await store.pathOf(find('init', 'activations, decoupled'))).toBe(best);
    expect(await store.pathOf(find('init', 'activations, joint'))).not.toBe(best);
    expect(await store.pathOf({ ...find('strategy', 'mkl, fitted'), seed: 1 })).not.toBe(best);
  });
});

describe('paired differences', () => {
  const pictures = (answers: string[]) =>
    answers.map((exact) => ({ exact, nll: exact.split('0').length, tokens: 2 * exact.length }));

  test('are those of the questions, and nothing where all answers are alike', () => {
    const a = pictures(['1101', '0111', '1111']);
    const b = pictures(['1000', '0111', '0011']);
    expect(accuracyDifference([a], [b]).mean).toBeCloseTo(4 / 12, 12);
    expect(nllDifference([a], [b]).mean).toBeCloseTo(-4 / 24, 12);
    expect(accuracyDifference([a], [a])).toEqual({ mean: 0, low: 0, high: 0 });
  });

  test('have intervals by picture: questions about one picture are one observation', () => {
    const spread = pictures(Array.from({ length: 64 }, (_, i) => (i % 4 === 0 ? '0111' : '1111')));
    const bundled = pictures(
      Array.from({ length: 64 }, (_, i) => (i % 16 === 0 ? '0000' : '1111')),
    );
    const all = pictures(Array.from({ length: 64 }, () => '1111'));
    const [one, four] = [spread, bundled].map((own) => accuracyDifference([all], [own]));
    expect(one!.mean).toBeCloseTo(four!.mean, 12);
    const width = ({ low, high }: { low: number; high: number }) => high - low;
    // Four times the clusters' spread at a fourth of them: sqrt(15 / 16 * 16 / (3 / 4 * 4)).
    expect(width(four!) / width(one!)).toBeCloseTo(Math.sqrt(5), 6);
    expect(accuracyDifference([all, all], [spread, bundled]).mean).toBeCloseTo(1 / 16, 12);
  });
});

describe('the summary', () => {
  const result = (exact: string) => {
    const right = exact.split('1').length - 1;
    const pictures = [...exact].map((one) => ({ exact: one, nll: one === '1' ? 0 : 2, tokens: 1 }));
    const nll = (2 * (exact.length - right)) / exact.length;
    const errors = { outputError: nll, factorError: { vision: nll, text: nll } };
    return {
      share: 0.25,
      accuracy: right / exact.length,
      nll,
      pictures,
      backend: 'cpu',
      ...errors,
    };
  };
  const cell = (row: string, seed: number, exact: string) => ({
    ...{ family: 'llava', table: 'strategy', row, ropeDim: 8, rank: 8, seed, options: {} },
    result: result(exact),
  });
  const original = { family: 'llava', table: 'original', row: 'original', result: result('1110') };
  const cells = [
    original,
    ...[cell('mkl', 0, '1110'), cell('mkl', 1, '1100')],
    ...[cell('uniform', 0, '1000'), cell('uniform', 1, '0100'), cell('norm2', 0, '1111')],
  ];
  const store = { read: async (one: { result: object }) => one.result };
  const read = () => summarise(cells as never, store as never);

  test('has what each row lost, and each claim over the sets that both rows have', async () => {
    const { rows, claims } = await read();
    const row = rows.find((one) => one.row === 'mkl')!;
    expect(row).toMatchObject({ accuracy: [0.75, 0.5], nll: [0.5, 1], share: 0.25 });
    expect(row.accuracyLost!.mean).toBe(0.125);
    expect(row.nllGained!.mean).toBe(0.25);
    const published = claims.find(({ claim }) => claim === 'MKL over uniform, as published')!;
    expect(published).toMatchObject({ accuracyBySet: [0.5, 0.25], ropeDim: 8, rank: 8 });
    expect(published.accuracy.mean).toBe(0.375);
    expect(published.nll.mean).toBe(-0.75);
    // One set of the 2-norm: against the first of MKL alone.
    const norm = claims.find(({ claim }) => claim === 'MKL over 2-norm, as published')!;
    expect(norm).toMatchObject({ accuracyBySet: [-0.25], nll: { mean: 0.5 } });
  });

  test('is drawn and written out', async () => {
    const summary = await read();
    const [plot] = plotsOf(summary);
    expect(plot!.original).toEqual({ value: 0.75 });
    expect(plot!.series.map(({ name }) => name)).toEqual(['uniform', 'norm2', 'mkl']);
    expect(plot!.series.at(-1)!.points).toMatchObject([{ bytes: 25, value: 0.625 }]);
    const text = tablesOf(summary);
    expect(text).toMatch(/\| MKL over uniform, as published +\| +1 \|/);
    expect(text).toMatch(/\| mkl +\| +62.5 \/ 0.750 \|/);
  });
});
