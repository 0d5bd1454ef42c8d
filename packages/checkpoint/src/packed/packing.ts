/**
 * How GPTQ and AWQ store a matrix in `config.json`'s `quantization_config`: small integers, several to
 * an int32, with a scale and a zero for a group of inputs.
 */
import { CheckpointError } from '../checkpoint-error';
import {
  badConfig,
  type ConfigRecord,
  configInteger,
  configString,
  configValue,
} from '../config-values';

/** A way of packing that is read. */
export interface Packing {
  method: 'gptq' | 'awq';
  /** Of one integer. */
  bits: number;
  /** Inputs that share a scale and a zero; −1: all of them. */
  groupSize: number;
  /** Added to stored zeros: the first format of GPTQ stores one less. */
  zeroOffset: number;
  /** Whether inputs of a group follow each other, whatever `g_idx` there is beside them. */
  inOrder: boolean;
}

/** Wider groups than any matrix has inputs would divide by nothing we know. */
const MAX_GROUP_SIZE = 2 ** 20;
/** Bits that fill an int32 evenly; 3 bits straddle words. */
const GPTQ_BITS = [2, 4, 8];

/**
 * Reads a `quantization_config`.
 * @throws CheckpointError `unsupported-config` naming the method, its version or its bits; `bad-config`
 */
export function readPacking(config: ConfigRecord): Packing {
  const method = configString(config, 'quant_method', '');
  if (method === 'gptq') return readGptq(config);
  if (method === 'awq') return readAwq(config);
  throw unsupported('quant_method', 'gptq or awq', method);
}

function readGptq(config: ConfigRecord): Packing {
  const bits = configInteger(config, 'bits', { min: 1, max: 32 });
  if (!GPTQ_BITS.includes(bits)) throw unsupported('bits', GPTQ_BITS.join(', '), bits);
  const format = configString(config, 'checkpoint_format', 'gptq');
  if (format !== 'gptq' && format !== 'gptq_v2') {
    throw unsupported('checkpoint_format', 'gptq or gptq_v2', format);
  }
  const zeroOffset = format === 'gptq' ? 1 : 0;
  const inOrder = configValue(config, 'desc_act') === false;
  return { method: 'gptq', bits, groupSize: readGroupSize(config), zeroOffset, inOrder };
}

function readAwq(config: ConfigRecord): Packing {
  const bits = configInteger(config, 'bits', { min: 1, max: 32 });
  if (bits !== 4) throw unsupported('bits', '4', bits);
  const version = configString(config, 'version', 'gemm').toLowerCase();
  if (version !== 'gemm') throw unsupported('version', 'gemm', version);
  return { method: 'awq', bits, groupSize: readGroupSize(config), zeroOffset: 0, inOrder: true };
}

function readGroupSize(config: ConfigRecord): number {
  const size = configInteger(config, 'group_size', { min: -1, max: MAX_GROUP_SIZE, default: 128 });
  if (size === 0) throw badConfig('readPacking', 'group_size', 'be -1 or at least 1', size);
  return size;
}

function unsupported(key: string, must: string, got: unknown): CheckpointError {
  return new CheckpointError(
    'unsupported-config',
    `readPacking: ${key} of quantization_config must be ${must}, got ${JSON.stringify(got)}. Use the model's checkpoint in floats.`,
  );
}
