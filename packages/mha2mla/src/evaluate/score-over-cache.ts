/**
 * Score reference answers over a cache: the beginning that all questions of a row share, its
 * pictures, fills a cache as `cache` says; each question and its answer go on from there and read
 * what is stored, as a chat about a picture does. Within a question keys and values are exact.
 */
import type { CacheOptions, Decoder, DecoderCache } from '@mha2mla/mla-runtime';
import type { VlmConfig } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import type { EmbeddedReferences } from './embed-references';
import { packedColumns } from './packed-columns';
import { type ReferenceScore, scoreAnswers } from './score-answers';

/** Scores of answers that read a stored cache. */
export interface CacheScores {
  /** Of each question, in their order. */
  scores: ReferenceScore[];
  /** Bytes that the shared beginnings took on this backend, padding included. */
  allocatedBytes: number;
}

/**
 * @param config of the model which embedded the questions.
 * @param decoder that model's, or one converted from it.
 * @param cache how the cache stores its vectors.
 * @throws RangeError on bad cache options; the signal's reason when aborted.
 */
export async function scoreOverCache(
  { config, decoder }: { config: VlmConfig; decoder: Decoder },
  embedded: EmbeddedReferences,
  cache: CacheOptions,
  { signal }: { signal?: AbortSignal } = {},
): Promise<CacheScores> {
  const { predicting, labels, answerLengths, branches } = embedded;
  const trunk = decoder.createCache(embedded.inputs.batch, cache);
  try {
    const columns = packedColumns(config, embedded, 0);
    try {
      const hidden = await decoder.prefill(columns.inputsEmbeds, columns.step, {
        cache: trunk,
        signal,
      });
      hidden.dispose();
    } finally {
      columns.dispose();
    }
    const logits = new Float32Array(labels.length * config.decoder.vocabSize);
    const count = branches.reduce((most, branch) => Math.max(most, branch), 0);
    for (let branch = 1; branch <= count; branch++) {
      const fork = trunk.fork();
      const predicted = [...predicting.keys()].filter((i) => branches[predicting[i]!] === branch);
      const places = predicted.map((i) => predicting[i]!);
      try {
        const rows = await branchLogits({ config, decoder }, embedded, fork, branch, places);
        for (const [row, i] of predicted.entries()) {
          const { vocabSize } = config.decoder;
          logits.set(rows.subarray(row * vocabSize, (row + 1) * vocabSize), i * vocabSize);
        }
      } finally {
        fork.dispose();
      }
      signal?.throwIfAborted();
    }
    const scores = scoreAnswers(logits, labels, answerLengths);
    return { scores, allocatedBytes: trunk.allocatedBytes };
  } finally {
    trunk.dispose();
  }
}

/** @returns logits [places * vocabulary] at places in [B * L] of a branch. */
async function branchLogits(
  { config, decoder }: { config: VlmConfig; decoder: Decoder },
  embedded: EmbeddedReferences,
  cache: DecoderCache,
  branch: number,
  places: readonly number[],
): Promise<Float32Array> {
  const columns = packedColumns(config, embedded, branch);
  try {
    const hidden = await decoder.prefill(columns.inputsEmbeds, columns.step, { cache });
    const logits = tf.tidy(() => {
      const flat = tf.reshape(hidden, [-1, hidden.shape[2]]);
      const own = places.map((place) => columns.placeOf.get(place)!);
      return decoder.logits(tf.gather(flat, tf.tensor1d(own, 'int32')));
    });
    hidden.dispose();
    const values = (await logits.data()) as Float32Array;
    logits.dispose();
    return values;
  } finally {
    columns.dispose();
  }
}
