import { expect, test } from 'vitest';
import * as api from './index';

test('the package exports these names and no others', () => {
  expect(Object.keys(api).sort()).toEqual([
    'SecondMoment',
    'allocateRanks',
    'compileLinearAlgebra',
    'errorOf',
    'factorize',
    'jointFactors',
    'jointFactorsBy',
    'loadLinearAlgebra',
    'splitFactors',
    'splitFactorsBy',
    'subspaceFactorize',
    'truncateFactors',
    'withFallback',
  ]);
});
