/** Options that several commands share. */
import {
  CACHE_METHODS,
  type CacheMethod,
  type CacheOptions,
  WEIGHT_FORMATS,
  type WeightFormat,
} from '@mha2mla/mla-runtime';
import type { VideoPositions } from '@mha2mla/vlm-adapters';
import { type Command, Option } from 'commander';
import { BACKENDS, type BackendChoice } from '../node/register-backends';
import { bits, bitsByLayer, bitsByModality, integer } from './option-values';

export interface RunFlags {
  backend: BackendChoice;
  seed: number;
}

export interface MediaFlags {
  videoPositions?: VideoPositions;
}

export interface CacheFlags {
  kvBits?: CacheOptions['kvBits'];
  ropeBits?: CacheOptions['ropeBits'];
  kvLayers?: CacheOptions['layers'];
  kvMethod?: CacheMethod;
  residualLength?: number;
}

export interface WeightFlags {
  weights?: WeightFormat;
}

export interface AdapterFlags {
  adapterFolder?: string;
}

export function addRunOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--backend <name>', 'where tensors are computed')
        .choices(BACKENDS)
        .default('auto'),
    )
    .option('--seed <n>', 'of random choices', integer(0), 0);
}

export function addMediaOptions(command: Command): Command {
  return command.addOption(
    new Option(
      '--video-positions <version>',
      'whose positions of a video Qwen2.5-VL takes, where versions differ',
    ).choices(['transformers-4.51', 'transformers-4.57', 'transformers-5']),
  );
}

export function addCacheOptions(command: Command): Command {
  return command
    .option(
      '--kv-bits <bits>',
      'bits of cached latents (or keys and values): 2, 3, 4, 8, 16, or vision=4,text=8',
      bitsByModality,
    )
    .option('--rope-bits <bits>', 'bits of rotary keys (8 once --kv-bits is below 8)', bits)
    .option(
      '--kv-layers <bits>',
      'layers with bits of their own, as in 0=16,5-7=8, their rotary keys as if by --kv-bits',
      bitsByLayer,
    )
    .addOption(
      new Option(
        '--kv-method <name>',
        'how they are quantized (affine); static, bands: as convert fits them',
      ).choices(CACHE_METHODS),
    )
    .option('--residual-length <n>', 'newest tokens that stay f32 (0)', integer(0));
}

export function addWeightsOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--weights <format>',
      'how matrices are kept: f32 (the default), or packed as they are read, in 16, 9 or 5 bits a weight; int8 and int4 take over integers of GPTQ and AWQ',
    ).choices(WEIGHT_FORMATS),
  );
}

export function addAdapterOption(command: Command): Command {
  return command.option(
    '--adapter-folder <folder>',
    'an adapter of Hugging Face PEFT (LoRA, rsLoRA, DoRA) that acts on the model',
  );
}
