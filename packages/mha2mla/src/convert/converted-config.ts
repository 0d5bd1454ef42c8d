/** config.json of a converted model: the original's, its `mha2mla` block, its precision. */
import type { ConversionPlan } from './convert-options';

/** How configs name a precision. */
const NAMES = { BF16: 'bfloat16', F16: 'float16', F32: 'float32' };
/** Where they state it: the older key, then the newer, for the whole or for a part of the model. */
const KEYS = ['torch_dtype', 'dtype'];
const PARTS = ['text_config', 'vision_config'];

type Config = Readonly<Record<string, unknown>>;

/**
 * @param raw the original's, checked when it was read.
 * @param block how it was converted.
 * @param isPacked whether matrices that it keeps are written as integers.
 */
export function convertedConfig(
  raw: Config,
  { dtype }: ConversionPlan,
  block: Config,
  isPacked = false,
): Config {
  const { quantization_config: packing, ...floats } = raw;
  return {
    ...(dtype ? withDtype(floats, NAMES[dtype]) : floats),
    ...(isPacked && { quantization_config: withoutAttention(packing as Config) }),
    mha2mla: block,
  };
}

/** What transformers shall not look for as integers: by a part of its name, or by a pattern of it. */
const ATTENTION = ['self_attn', '.*\\.self_attn\\..*'];

/** A `quantization_config` of a model whose attention is in floats. */
function withoutAttention(packing: Config): Config {
  const others = packing.modules_to_not_convert;
  const modules_to_not_convert = [...(Array.isArray(others) ? others : []), ...ATTENTION];
  return { ...packing, modules_to_not_convert: [...new Set(modules_to_not_convert)] };
}

/** Replace the precision wherever the config states one: loaders would cast the weights back. */
function withDtype(config: Config, name: string): Config {
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => {
      if (KEYS.includes(key) && typeof value === 'string') return [key, name];
      const part = PARTS.includes(key) && typeof value === 'object' && value !== null;
      return [key, part ? withDtype(value as Config, name) : value];
    }),
  );
}
