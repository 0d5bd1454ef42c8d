/**
 * What attention-aware factors need to know of a layer's attention (FORMULAS F5): how large and
 * which way its queries are, and how much the output moves with a score. Adds up over shards.
 */
import { SecondMoment } from '@mha2mla/lowrank';
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { HeadEffects } from './head-effects';

export class AttentionMoments {
  /** Of each query head's queries before rotation, bias included, [H, H]. */
  readonly queries: readonly SecondMoment[];
  /** Per query head Σ p² |Wo (v - o)|² and Σ p², over the sampled rows and their keys. */
  readonly effects: HeadEffects;

  constructor({ numAttentionHeads, headDim }: DecoderConfig) {
    this.queries = Array.from({ length: numAttentionHeads }, () => new SecondMoment(headDim));
    this.effects = {
      effect: new Float64Array(numAttentionHeads),
      mass: new Float64Array(numAttentionHeads),
    };
  }

  addEffects({ effect, mass }: HeadEffects): this {
    for (const [head, value] of effect.entries()) this.effects.effect[head]! += value;
    for (const [head, value] of mass.entries()) this.effects.mass[head]! += value;
    return this;
  }

  merge(other: AttentionMoments): this {
    for (const [head, moment] of other.queries.entries()) this.queries[head]!.merge(moment);
    return this.addEffects(other.effects);
  }
}
