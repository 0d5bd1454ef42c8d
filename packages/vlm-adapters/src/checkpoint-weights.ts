/**
 * Read a family's weights from a checkpoint by our names, whichever of the known layouts (as
 * published, or as newer classes save them) the checkpoint has.
 */
import type { Checkpoint } from '@mha2mla/checkpoint';
import type { WeightReader } from '@mha2mla/mla-runtime';

/** Most names listed in an error: enough to see the pattern. */
const LISTED = 5;

export class CheckpointWeights implements WeightReader {
  /** Stored names that were read. */
  private readonly used = new Set<string>();

  constructor(
    private readonly checkpoint: Checkpoint,
    private readonly storedNames: (name: string) => readonly string[],
    private readonly family: string,
  ) {}

  /** The name under which the checkpoint stores a weight, or `undefined`. */
  storedName(name: string): string | undefined {
    return this.storedNames(name).find((stored) => this.checkpoint.tensors.has(stored));
  }

  shape(name: string): readonly number[] | undefined {
    const stored = this.storedName(name);
    return stored === undefined ? undefined : this.checkpoint.tensors.get(stored)!.shape;
  }

  async read(name: string, expected: readonly number[]): Promise<Float32Array> {
    const stored = this.storedName(name);
    if (stored === undefined) {
      const some = [...this.checkpoint.tensors.keys()].slice(0, LISTED).join(', ');
      throw new RangeError(
        `CheckpointWeights: the ${this.family} family expects ${this.storedNames(name).join(' or ')}, got a checkpoint without it (it has ${some}, …).`,
      );
    }
    const { shape } = this.checkpoint.tensors.get(stored)!;
    if (shape.length !== expected.length || shape.some((size, i) => size !== expected[i])) {
      throw new RangeError(
        `CheckpointWeights: ${stored} must be [${expected}] by config.json, got [${shape}].`,
      );
    }
    this.used.add(stored);
    const values = await this.checkpoint.readFloat32(stored);
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      throw new RangeError(
        `CheckpointWeights: ${stored} must hold finite numbers, got ${values[bad]} at element ${bad}.`,
      );
    }
    return values;
  }
}
