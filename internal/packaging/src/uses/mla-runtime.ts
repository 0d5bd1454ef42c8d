import * as mla from '@mha2mla/mla-runtime';
import '@tensorflow/tfjs-backend-wasm';

/** Tokens of a small decoder over a latent cache, on wasm. */
export async function use() {
  const backend = await mla.chooseBackend('wasm');
  const config = {
    ...{ hiddenSize: 32, intermediateSize: 64, numHiddenLayers: 2, vocabSize: 100 },
    ...{ numAttentionHeads: 4, numKeyValueHeads: 2, headDim: 8 },
    ...{ rmsNormEps: 1e-6, ropeTheta: 10_000, tieWordEmbeddings: true },
    mla: { ropePairs: Array(2).fill(Array(2).fill(Int32Array.of(0, 1))), groups: 1 },
  };
  const decoder = await mla.loadDecoder(config, {
    shape: (name) => (name.endsWith('kv_proj.down_kv.weight') ? [12, 32] : undefined),
    read: async (_name, shape) =>
      Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * i + i)),
  });
  const inputs = {
    inputsEmbeds: decoder.embed(Int32Array.of(7, 21, 42), [1, 3]),
    layout: mla.textLayout(1, 3),
    positionIds: Int32Array.of(0, 1, 2),
    nextPositions: Int32Array.of(3),
  };
  const tokens: number[] = [];
  for await (const step of mla.generate(decoder, inputs, { maxTokens: 4 })) {
    tokens.push(step.tokens[0]!);
  }
  return [backend, ...tokens];
}
