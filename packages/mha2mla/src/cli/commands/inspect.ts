import { type CacheBytes, cacheBytesPerToken, type DecoderConfig } from '@mha2mla/mla-runtime';
import { tensorDifference, type VlmSource } from '@mha2mla/vlm-adapters';
import { openModelFolder } from '../../node/open-model';
import { cacheSetting } from '../cache-setting';
import type { CommonFlags } from '../context';
import type { AddCommand } from '../program';

/** `inspect MODEL`: what a folder holds, from its headers alone. */
export const addInspect: AddCommand = (program, contextOf) => {
  program
    .command('inspect <model>')
    .description('what a model is, and what its cache costs, from headers alone')
    .addHelpText('after', '\nExample:\n  mha2mla inspect MODEL --json')
    .action(async (folder: string, flags: CommonFlags) => {
      const { result } = contextOf(flags);
      const { source, close } = await openModelFolder(folder);
      try {
        const report = inspect(source);
        result(report, () => describe(report));
      } finally {
        await close();
      }
    });
};

type Inspection = ReturnType<typeof inspect>;

function inspect(source: VlmSource) {
  const { family, checkpoint } = source;
  const config = source.config.decoder;
  const { mla } = config;
  const sizes = [...checkpoint.tensors.values()].map(({ shape }) =>
    shape.reduce((a, b) => a * b, 1),
  );
  const original: DecoderConfig = { ...config, mla: undefined };
  const noWeights = { shape: () => undefined };
  const bytes = (of: DecoderConfig) => mean(cacheBytesPerToken(of, noWeights));
  const latentWidth = (folder: string) =>
    source.weights.shape(`layers.0.self_attn.${folder}.down_kv.weight`)?.[0];
  return {
    family: family.name,
    converted: mla !== undefined,
    parameters: sizes.reduce((sum, size) => sum + size, 0),
    layers: config.numHiddenLayers,
    hiddenSize: config.hiddenSize,
    attentionHeads: config.numAttentionHeads,
    keyValueHeads: config.numKeyValueHeads,
    headDim: config.headDim,
    ropeDim: mla ? 2 * mla.ropePairs[0]![0]!.length : config.headDim,
    ...(mla && {
      groups: mla.groups,
      latentWidth: latentWidth('kv_proj_text') ?? latentWidth('kv_proj'),
    }),
    cacheBytesPerToken: {
      model: mean(cacheBytesPerToken(config, source.weights, cacheSetting(source, {}))),
      original: bytes(original),
      mhaEquivalent: bytes({ ...original, numKeyValueHeads: config.numAttentionHeads }),
    },
    ...tensorDifference(source),
  };
}

/** Half of the tokens vision, half text. */
function mean({ vision, text }: CacheBytes): number {
  return (vision + text) / 2;
}

/** Names listed of each difference. */
const LISTED = 5;

function describe(report: Inspection): string {
  const { model, original, mhaEquivalent } = report.cacheBytesPerToken;
  const some = (names: readonly string[]) =>
    names.length === 0
      ? 'none'
      : `${names.slice(0, LISTED).join(', ')}${names.length > LISTED ? ` and ${names.length - LISTED} more` : ''}`;
  return [
    `${report.family}, ${report.converted ? 'converted to MLA' : 'original'}, ${report.parameters} parameters`,
    `${report.layers} layers of width ${report.hiddenSize}, ${report.attentionHeads} heads of ${report.headDim}, ${report.keyValueHeads} of keys and values`,
    `${report.ropeDim} rotary dims a head${report.latentWidth ? `, a latent of ${report.latentWidth} in ${report.groups} group${report.groups === 1 ? '' : 's'}` : ''}`,
    `cache ${model} bytes a token (original ${original}, with a KV head a query head ${mhaEquivalent})`,
    `missing tensors: ${some(report.missing)}`,
    `unexpected tensors: ${some(report.unexpected)}`,
  ].join('\n');
}
