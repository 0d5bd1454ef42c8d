import type { Packing } from '@mha2mla/checkpoint';
import { type CacheBytes, cacheBytesPerToken, type DecoderConfig } from '@mha2mla/mla-runtime';
import { tensorDifference, type VlmSource } from '@mha2mla/vlm-adapters';
import { withModelFolder } from '../../node/open-model';
import { tensorElements } from '../../output/tensor-sizes';
import { cacheSetting } from '../cache-setting';
import { printableLine } from '../printable';
import type { AddCommand } from '../program';
import { addCacheOptions, type CacheFlags } from '../shared-options';
import { addDeepOptions, type DeepFlags, describeDiagnosis, inspectDeep } from './inspect-deep';

/** `inspect MODEL`: what a folder holds, from its headers alone, or with a look at what it does. */
export const addInspect: AddCommand = (program, contextOf) => {
  addCacheOptions(addDeepOptions(program.command('inspect <model>')))
    .description(
      'what a model is, and what its cache costs, from headers alone; with --deep, what a conversion would cost',
    )
    .addHelpText(
      'after',
      '\nExample:\n  mha2mla inspect MODEL --deep --data calibration.jsonl --kv-budget 0.25',
    )
    .action((folder: string, flags: DeepFlags & CacheFlags) => {
      const context = contextOf(flags);
      return withModelFolder(folder, {}, async (source) => {
        const report = inspect(source, flags);
        const deep = await inspectDeep(source, flags, context);
        context.result({ ...report, deep }, () =>
          [describe(report), ...(deep ? [describeDiagnosis(deep)] : [])].join('\n'),
        );
      });
    });
};

type Inspection = ReturnType<typeof inspect>;

function inspect(source: VlmSource, flags: CacheFlags) {
  const { family, checkpoint } = source;
  const config = source.config.decoder;
  const { mla } = config;
  const original: DecoderConfig = { ...config, mla: undefined };
  const latents = latentWidths(source);
  return {
    family: family.name,
    converted: mla !== undefined,
    parameters: tensorElements(checkpoint.tensors.values()),
    ...(checkpoint.packed && { packed: packingOf(checkpoint.packed) }),
    layers: config.numHiddenLayers,
    hiddenSize: config.hiddenSize,
    attentionHeads: config.numAttentionHeads,
    keyValueHeads: config.numKeyValueHeads,
    headDim: config.headDim,
    ropeDim: mla ? 2 * mla.ropePairs[0]![0]!.length : config.headDim,
    ...(mla && {
      groups: mla.groups,
      ...(latents && { latentWidths: latents, latentWidth: oneOf(latents) }),
    }),
    cacheBytesPerToken: {
      model: cacheSetting(source, flags).report.cacheBytesPerToken,
      original: bytesOf(original),
      mhaEquivalent: bytesOf({ ...original, numKeyValueHeads: config.numAttentionHeads }),
    },
    ...tensorDifference(source),
  };
}

/** How matrices are stored, as `quantization_config` names it; a group of −1 is of all inputs. */
function packingOf({ method, bits, groupSize }: Packing) {
  return { method, bits, groupSize };
}

/** Widths of the latents by modality and layer, as stored. */
function latentWidths({ weights, config }: VlmSource) {
  const widths = (folder: string) =>
    Array.from({ length: config.decoder.numHiddenLayers }, (_, layer) => {
      const width = (name: string) =>
        weights.shape(`layers.${layer}.self_attn.${name}.down_kv.weight`)?.[0];
      return width(folder) ?? width('kv_proj');
    });
  const [vision, text] = [widths('kv_proj_img'), widths('kv_proj_text')];
  return [...vision, ...text].includes(undefined) ? undefined : { vision, text };
}

/** The one width of all latents, if they have one. */
function oneOf({ vision, text }: NonNullable<ReturnType<typeof latentWidths>>) {
  const all = new Set([...vision, ...text]);
  return all.size === 1 ? vision[0] : undefined;
}

/** Of an original model, where both modalities take the same. */
function bytesOf(config: DecoderConfig): CacheBytes['text'] {
  return cacheBytesPerToken(config, { shape: () => undefined }).text;
}

/** Names listed of each difference. */
const LISTED = 5;

function describe(report: Inspection): string {
  const { model, original, mhaEquivalent } = report.cacheBytesPerToken;
  return [
    `${report.family}, ${report.converted ? 'converted to MLA' : 'original'}, ${report.parameters} parameters${packedAs(report)}`,
    `${report.layers} layers of width ${report.hiddenSize}, ${report.attentionHeads} heads of ${report.headDim}, ${report.keyValueHeads} of keys and values`,
    `${report.ropeDim} rotary dims a head${latentsOf(report)}`,
    `cache ${model} bytes a token (original ${original}, with a KV head a query head ${mhaEquivalent})`,
    `missing tensors: ${listed(report.missing)}`,
    `unexpected tensors: ${listed(report.unexpected)}`,
  ].join('\n');
}

function packedAs({ packed }: Inspection): string {
  if (!packed) return '';
  const { method, bits, groupSize } = packed;
  const groups = groupSize === -1 ? 'one group' : `groups of ${groupSize}`;
  return `, matrices packed by ${method} in ${bits} bits, ${groups}`;
}

/** How wide the latents are; of several widths the least and the most. */
function latentsOf({ latentWidths, latentWidth, groups }: Inspection): string {
  if (!latentWidths) return '';
  const all = [...latentWidths.vision, ...latentWidths.text].map(Number);
  const width = latentWidth ?? `${Math.min(...all)} to ${Math.max(...all)}`;
  const latent = latentWidth === undefined ? 'latents' : 'a latent';
  return `, ${latent} of ${width} in ${groups} group${groups === 1 ? '' : 's'}`;
}

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'none';
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : '';
  return names.slice(0, LISTED).map(printableLine).join(', ') + more;
}
