/**
 * A latent cache whose tokens are merged without order needs full attention, so a model with an
 * active sliding window is refused by name. Whether one is active depends on the model type: Qwen
 * has a switch, Mistral has a window unless it is null (and 4096 where the key is absent).
 */
import { CheckpointError } from './checkpoint-error';
import {
  badConfig,
  type ConfigRecord,
  configBoolean,
  configInteger,
  configValue,
} from './config-values';
import { showJson } from './show-json';

// Layers are at most 1024 (text-config.ts).
const MAX_LAYER_TYPES = 1024;

/**
 * Refuses a config with an active sliding window, or other layers than full attention.
 * @throws CheckpointError `unsupported-config`, `bad-config`
 */
export function assertFullAttention(text: ConfigRecord, modelType: string): void {
  assertLayerTypes(configValue(text, 'layer_types'));
  const isNull = Object.hasOwn(text, 'sliding_window') && text.sliding_window === null;
  const absent = !Object.hasOwn(text, 'sliding_window');
  const hasSwitch = modelType.startsWith('qwen');
  const switchedOn = configBoolean(text, 'use_sliding_window', false);
  if (
    hasSwitch ? !switchedOn || isNull : isNull || (absent && modelType !== 'mistral' && !switchedOn)
  ) {
    return;
  }
  // Not above the largest exact integer; a window that is no number is a broken config.
  const window = configInteger(text, 'sliding_window', {
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    default: 4096,
  });
  throw new CheckpointError(
    'unsupported-config',
    `assertFullAttention: a model must attend to its whole context, got sliding_window ${window}${absent ? ' (the default of its model type)' : ''}. Sliding-window checkpoints are not supported; if the model was trained without one, set sliding_window to null.`,
  );
}

function assertLayerTypes(types: unknown): void {
  if (types === undefined) return;
  if (!Array.isArray(types) || types.length > MAX_LAYER_TYPES) {
    throw badConfig(
      'assertFullAttention',
      'layer_types',
      `be a list of at most ${MAX_LAYER_TYPES}`,
      types,
    );
  }
  const other = types.find((type) => type !== 'full_attention');
  if (other !== undefined) {
    throw new CheckpointError(
      'unsupported-config',
      `assertFullAttention: all layer_types must be "full_attention", got ${showJson(other)}. Sliding-window and linear-attention checkpoints are not supported.`,
    );
  }
}
