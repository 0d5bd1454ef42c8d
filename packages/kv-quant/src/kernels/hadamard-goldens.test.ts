/** The transform against NumPy's product with the matrix (fixtures/peft/kv/README.md). */
import { expectClose, fixture, readSafetensors } from '@mha2mla/testing';
import { expect, test } from 'vitest';
import { walshHadamardInPlace } from './hadamard';

const inputs = readSafetensors(fixture('fixtures/peft/kv/inputs.safetensors'));
const goldens = readSafetensors(fixture('fixtures/peft/kv/hadamard.safetensors'));

test('the rows of the matrix are what it does to the units', () => {
  const signs = goldens.get('H64_signs')!.data;
  for (let i = 0; i < 64; i++) {
    const unit = new Float32Array(64);
    unit[i] = 1;
    walshHadamardInPlace(unit, 0, 64);
    expect([...unit]).toEqual([...signs.slice(64 * i, 64 * (i + 1))]);
  }
});

test('vectors are rotated as NumPy rotates them', () => {
  const rotated = Float32Array.from(inputs.get('gaussian')!.data);
  for (let first = 0; first < rotated.length; first += 64) {
    walshHadamardInPlace(rotated, first, 64);
  }
  const found = rotated.map((value) => value / 8);
  // Six sums in f32 of values up to 20.
  expectClose(found, goldens.get('gaussian_rotated')!.data, { abs: 2e-6 });
});
