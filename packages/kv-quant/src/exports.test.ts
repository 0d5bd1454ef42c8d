import { expect, test } from 'vitest';
import * as api from './index';

test('the package exports these names and no others', () => {
  expect(Object.keys(api).sort()).toEqual([
    'CODES_WGSL',
    'PackedTensor',
    'QuantizedCache',
    'bandsOf',
    'bytesPerToken',
    'concatPacked',
    'dequantize',
    'fitStatic',
    'hadamardBlocks',
    'halfValues',
    'nearestHalf',
    'paramWgsl',
    'quantize',
    'registerHostKernel',
    'slicePacked',
    'walshHadamardInPlace',
  ]);
});
