/**
 * Early stopping on pictures that are not trained on: their loss is taken every so often, and the
 * best weights come back at the end.
 */
import type { TrainableParameter } from '@mha2mla/peft';
import * as tf from '@tensorflow/tfjs-core';
import type { Question } from '../data/question';
import { questionRows } from '../data/question-rows';
import { rememberMedia } from '../data/remember-media';
import { packReferences } from '../evaluate/pack-references';
import { disposePrepared, healLoss, prepareBatch } from './heal-loss';
import type { HealPlan } from './heal-options';
import { SHARD_ROWS, type ShardContext } from './shard-gradient';

/** Updates between two looks. */
export const LOOK_EVERY = 25;

export interface HeldOutState {
  /** At each look. */
  losses: readonly number[];
  /** The parameters' values at the best of them. */
  best: ReadonlyMap<string, Float32Array>;
}

/** Hold out a share of the rows, evenly spread: at least one, unless the share is 0, and not all. */
export function splitRows(
  rows: readonly (readonly Question[])[],
  share: number,
): Record<'training' | 'heldOut', (readonly Question[])[]> {
  const most = Math.max(0, rows.length - 1);
  const count = share > 0 ? Math.min(most, Math.max(1, Math.round(share * rows.length))) : 0;
  const held = new Set(
    Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * rows.length) / count)),
  );
  return {
    training: rows.filter((_, i) => !held.has(i)),
    heldOut: rows.filter((_, i) => held.has(i)),
  };
}

/** The rows of questions, whose pictures are decoded once, some of them held out. */
export function healingRows(questions: readonly Question[], { holdOut }: HealPlan) {
  return splitRows(rememberMedia(questionRows(questions)), holdOut);
}

export class HeldOut {
  private readonly losses: number[];
  private best: Map<string, Float32Array>;

  /** @param context whose rows are those held out. */
  constructor(
    private readonly context: ShardContext,
    private readonly parameters: readonly TrainableParameter[],
    from?: HeldOutState,
  ) {
    this.losses = [...(from?.losses ?? [])];
    this.best = new Map(from?.best);
  }

  get state(): HeldOutState {
    return { losses: [...this.losses], best: this.best };
  }

  /** Losses at each look, and how many of all updates the best weights have. */
  report(updates: number): { losses: readonly number[]; best: number } {
    return {
      losses: [...this.losses],
      best: Math.min(updates, (this.bestLook() + 1) * LOOK_EVERY),
    };
  }

  /** Whether so many looks have passed since the best one. */
  isOver(patience: number): boolean {
    return this.losses.length - 1 - this.bestLook() >= patience;
  }

  /**
   * Take the loss; keep the weights where it is the lowest yet.
   * @throws RangeError for a loss that is no number.
   */
  async look(): Promise<void> {
    const loss = await this.loss();
    if (!Number.isFinite(loss)) {
      throw new RangeError(
        `healModel: the loss of pictures held out must stay finite, got ${loss}. Start anew with a lower learning rate.`,
      );
    }
    this.losses.push(loss);
    if (this.bestLook() !== this.losses.length - 1) return;
    const values = new Map<string, Float32Array>();
    for (const { name, variable } of this.parameters) {
      values.set(name, Float32Array.from(await variable.data()));
    }
    this.best = values;
  }

  /** Put the best weights back. */
  restoreBest(): void {
    tf.tidy(() => {
      for (const { name, variable } of this.parameters) {
        const values = this.best.get(name);
        if (values) variable.assign(tf.tensor(values, variable.shape));
      }
    });
  }

  /** The first of the lowest losses; -1 before the first look. */
  private bestLook(): number {
    return this.losses.indexOf(Math.min(...this.losses));
  }

  /** What training minimises, on questions as they are. */
  private async loss(): Promise<number> {
    const { student, teacher, processor, rows, plan } = this.context;
    let sum = 0;
    for (let start = 0; start < rows.length; start += SHARD_ROWS) {
      const own = rows.slice(start, start + SHARD_ROWS);
      const packed = await packReferences(student, processor, own);
      const batch = prepareBatch(student, teacher, packed, plan);
      const loss = healLoss(student.decoder, batch, plan);
      sum += own.length * (await loss.data())[0]!;
      loss.dispose();
      disposePrepared(batch);
    }
    return sum / rows.length;
  }
}
