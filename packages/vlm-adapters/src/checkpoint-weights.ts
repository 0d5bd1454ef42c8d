/**
 * Read a family's weights from a checkpoint by our names, whichever of the known layouts (as
 * published, or as newer classes save them) the checkpoint has.
 */
import { assertFinite, type Checkpoint, quoteName } from '@mha2mla/checkpoint';
import type { StoredRows, WeightPacking, WeightReader } from '@mha2mla/mla-runtime';
import { storedPacking } from './stored-packing';

/** Most names listed in an error: enough to see the pattern. */
const LISTED = 5;

/** Weights of a checkpoint by the decoder's names, in any layout that its family knows. */
export class CheckpointWeights implements WeightReader {
  /** Stored names that were read. */
  private readonly used = new Set<string>();

  constructor(
    private readonly checkpoint: Checkpoint,
    private readonly storedNames: (name: string) => readonly string[],
    private readonly family: string,
  ) {}

  /**
   * The name under which the checkpoint stores a weight, or `undefined`.
   * @throws RangeError when it stores the weight in two layouts: readers could see two models.
   */
  storedName(name: string): string | undefined {
    const found = this.storedNames(name).filter((stored) => this.checkpoint.tensors.has(stored));
    if (found.length > 1) {
      throw new RangeError(
        `CheckpointWeights: a checkpoint must store ${name} once, got ${found.map(quoteName).join(' and ')}.`,
      );
    }
    return found[0];
  }

  shape(name: string): readonly number[] | undefined {
    const stored = this.storedName(name);
    return stored === undefined ? undefined : this.checkpoint.tensors.get(stored)!.shape;
  }

  async read(name: string, expected: readonly number[]): Promise<Float32Array> {
    return this.readRows(name, expected);
  }

  /**
   * Rows of a weight, of the shape that is expected.
   * @param rows [first, end) along the first dimension; all by default.
   */
  async readRows(
    name: string,
    expected: readonly number[],
    rows?: readonly [number, number],
  ): Promise<Float32Array> {
    const stored = this.find(name, expected);
    const values = await this.checkpoint.readFloat32(stored, { ...(rows && { rows }) });
    assertFinite('CheckpointWeights', named(stored, rows), values);
    return values;
  }

  storedPacking(name: string): WeightPacking | undefined {
    const stored = this.storedName(name);
    const form = stored === undefined ? undefined : this.checkpoint.packed?.form(stored);
    return form && storedPacking(form);
  }

  /** Rows of a weight that has a `storedPacking`. */
  async readStored(
    name: string,
    expected: readonly number[],
    rows: readonly [number, number],
  ): Promise<StoredRows> {
    const stored = this.find(name, expected);
    const packed = await this.checkpoint.packed!.readRows(stored, rows);
    // What a scale may be multiplied by; larger ones would overflow where they are used.
    const largest = packed.scales.map((scale) => scale * 255);
    assertFinite('CheckpointWeights', `scales of ${named(stored, rows)}, times 255,`, largest);
    return packed;
  }

  /** The stored name of a weight that must have this shape. */
  private find(name: string, expected: readonly number[]): string {
    const stored = this.storedName(name);
    if (stored === undefined) throw this.missing(name);
    const { shape } = this.checkpoint.tensors.get(stored)!;
    if (shape.length !== expected.length || shape.some((size, i) => size !== expected[i])) {
      throw new RangeError(
        `CheckpointWeights: ${quoteName(stored)} must be [${expected}] by config.json, got [${shape}].`,
      );
    }
    this.used.add(stored);
    return stored;
  }

  private missing(name: string): RangeError {
    const others = [...this.checkpoint.tensors.keys()].filter((stored) => !this.used.has(stored));
    const listed = others.slice(0, LISTED).map(quoteName).join(', ');
    return new RangeError(
      `CheckpointWeights: the ${this.family} family expects ${this.storedNames(name).join(' or ')}, got a checkpoint without it. Not read yet are ${others.length} others, such as ${listed || 'none'}.`,
    );
  }
}

function named(stored: string, rows: readonly [number, number] | undefined): string {
  return rows ? `rows ${rows[0]} to ${rows[1]} of ${quoteName(stored)}` : quoteName(stored);
}
