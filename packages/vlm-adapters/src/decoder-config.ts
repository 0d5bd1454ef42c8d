import { type ModelConfig, quoteName, showJson } from '@mha2mla/checkpoint';
import { checkDecoderConfig, type DecoderConfig, rotaryFrequencies } from '@mha2mla/mla-runtime';
import { parseMlaConfig } from './mla-config';
import { authoredFrequencies } from './rotary-precision';

/** The decoder's config from a model's: the same for every family. @throws RangeError */
export function decoderConfig(model: ModelConfig): DecoderConfig {
  const { text, mha2mla } = model;
  if (text.hiddenAct !== 'silu') {
    throw new RangeError(
      `decoderConfig: hidden_act must be silu, got ${quoteName(text.hiddenAct)}.`,
    );
  }
  if (text.ropeScaling !== undefined) {
    throw new RangeError(
      `decoderConfig: rope_scaling must be absent or default, got ${showJson(text.ropeScaling)}.`,
    );
  }
  const config: DecoderConfig = {
    hiddenSize: text.hiddenSize,
    intermediateSize: text.intermediateSize,
    numHiddenLayers: text.numHiddenLayers,
    numAttentionHeads: text.numAttentionHeads,
    numKeyValueHeads: text.numKeyValueHeads,
    headDim: text.headDim,
    rmsNormEps: text.rmsNormEps,
    vocabSize: text.vocabSize,
    ropeTheta: text.ropeTheta,
    mropeSection: text.mropeSection,
    frequencies: authoredFrequencies(rotaryFrequencies(text), model),
    tieWordEmbeddings: text.tieWordEmbeddings,
    mla: mha2mla && parseMlaConfig(mha2mla, text),
  };
  checkDecoderConfig(config);
  return config;
}
