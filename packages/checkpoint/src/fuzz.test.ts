import { readFileSync } from 'node:fs';
import { fixture, gaussian } from '@mha2mla/testing';
import { describe, expect, it } from 'vitest';
import { memorySource, memoryStore } from './memory-store';
import { readModelConfig } from './model-config';
import { openSafetensors } from './open-safetensors';
import { parseTensorPickle } from './pth-pickle';
import { readPth } from './read-pth';
import { readRankFile } from './read-rank-file';

const file = (path: string) => new Uint8Array(readFileSync(fixture(path)));

/** A stream of natural numbers below `n`, from a seed. */
function dice(seed: number): (n: number) => number {
  const samples = gaussian(64, seed);
  let at = 0;
  return (n) => Math.floor(Math.abs(samples[at++ % samples.length]! * 1e6)) % n;
}

// Bytes that mean something to one of the readers: JSON, ZIP, pickle, and the ends of a byte.
const TELLING = [...'{}[]",:\\0129-e.PK(tRQqhXcKMJ\n\x80\x85\x87\x00\xff\x7f'].map((c) =>
  c.charCodeAt(0),
);

/** Changes some bytes, doubles or drops a part, or cuts the end off. */
function mutate(bytes: Uint8Array, roll: (n: number) => number, reach: number): Uint8Array {
  const out = bytes.slice();
  for (let i = roll(6); i >= 0; i--)
    out[roll(reach)] = roll(2) ? TELLING[roll(TELLING.length)]! : roll(256);
  const [from, to] = [roll(reach), roll(reach)].sort((a, b) => a - b) as [number, number];
  switch (roll(6)) {
    case 0:
      return out.slice(0, roll(out.length));
    case 1:
      return new Uint8Array([...out.subarray(0, to), ...out.subarray(from)]);
    case 2:
      return new Uint8Array([...out.subarray(0, from), ...out.subarray(to)]);
    default:
      return out;
  }
}

/** Runs a reader on mutants: it may only succeed or throw our error. Gives how many succeeded. */
async function survive(
  seed: number,
  rounds: number,
  bytes: Uint8Array,
  reach: number,
  read: (bytes: Uint8Array) => Promise<unknown>,
) {
  let accepted = 0;
  for (let i = 0; i < rounds; i++) {
    const mutant = mutate(bytes, dice(seed + i), reach);
    try {
      await read(mutant);
      accepted++;
    } catch (error) {
      if ((error as Error).name !== 'CheckpointError') {
        throw new Error(`seed ${seed + i} must succeed or throw CheckpointError`, { cause: error });
      }
    }
  }
  return accepted;
}

describe('mutated files only succeed or throw CheckpointError', () => {
  it('safetensors', async () => {
    const bytes = file('fixtures/hf/llava/mha2mla/ranks.safetensors');
    const accepted = await survive(1, 4000, bytes, 90, async (mutant) => {
      const checkpoint = await openSafetensors(memorySource(mutant));
      for (const name of checkpoint.tensors.keys()) await checkpoint.readBytes(name);
    });
    expect(accepted).toBeLessThan(4000);
  });

  it('one-tensor .pth, directory and pickle', async () => {
    const bytes = file('fixtures/hf/llava/mha2mla/ranks.pth');
    await survive(10_000, 3000, bytes, bytes.length, (mutant) => readPth(memorySource(mutant)));
    await survive(20_000, 2000, bytes, bytes.length, (mutant) =>
      readRankFile(memorySource(mutant)),
    );
  });

  it('the pickle itself, past its CRC', async () => {
    const archive = file('fixtures/hf/llava/mha2mla/ranks.pth');
    const pickle = archive.slice(0x40, 0x40 + 158); // data.pkl, after its local header
    expect(parseTensorPickle(pickle).shape).toEqual([4, 4, 32]);
    await survive(40_000, 20_000, pickle, pickle.length, async (mutant) =>
      parseTensorPickle(mutant),
    );
  });

  it('config.json', async () => {
    const bytes = file('fixtures/hf/llava/newer_layout/config.json');
    await survive(30_000, 3000, bytes, bytes.length, (mutant) =>
      readModelConfig(memoryStore({ 'config.json': mutant })),
    );
  });
});
