/**
 * Rotary embeddings in a config: `rope_theta` + `rope_scaling` (transformers 4) or
 * `rope_parameters` (transformers 5), the kind under `rope_type` or `type`.
 */
import { CheckpointError } from './checkpoint-error';
import {
  badConfig,
  type ConfigRecord,
  configIntegers,
  configNumber,
  configRecord,
  configString,
  configValue,
} from './config-values';

/** A change of the rotary frequencies; the decoder refuses kinds that it does not know. */
export interface RopeScaling {
  /** 'linear', 'dynamic', 'yarn', 'llama3', … */
  ropeType: string;
  /** The config's own keys, unchecked. */
  parameters: ConfigRecord;
}

/** Rotary settings of a decoder. */
export interface RopeConfig {
  ropeTheta: number;
  ropeScaling?: RopeScaling;
  mropeSection?: number[];
}

// Axes of M-RoPE: t, h, w.
const MROPE_AXES = 3;

/**
 * Reads the rotary settings.
 * @throws CheckpointError `bad-config`; `unsupported-config` for rotary settings by layer type and
 *   for models that rotate a part of each head only
 */
export function readRope(
  text: ConfigRecord,
  headDim: number,
  defaultTheta: number | undefined,
): RopeConfig {
  const newer = configRecord(text, 'rope_parameters');
  const scaling = newer ?? configRecord(text, 'rope_scaling');
  assertWholeHead(text, newer);
  const thetaOf = newer !== undefined && Object.hasOwn(newer, 'rope_theta') ? newer : text;
  // The base of a geometric series of frequencies: 1 makes them all equal, below 1 they would grow.
  const ropeTheta = configNumber(thetaOf, 'rope_theta', {
    min: 1,
    max: 1e12,
    default: defaultTheta,
  });
  if (scaling === undefined) return { ropeTheta };
  const ropeType = configString(scaling, 'rope_type', configString(scaling, 'type', 'default'));
  const plain = ropeType === 'default' || ropeType === 'mrope';
  return {
    ropeTheta,
    ...(!plain && { ropeScaling: { ropeType, parameters: scaling } }),
    ...readSection(scaling, headDim),
  };
}

function readSection(scaling: ConfigRecord, headDim: number): { mropeSection?: number[] } {
  const key = 'mrope_section';
  if (configValue(scaling, key) === undefined) return {};
  const section = configIntegers(scaling, key, { min: 0, max: headDim, length: MROPE_AXES });
  const sum = section.reduce((total, count) => total + count, 0);
  if (section.length !== MROPE_AXES || sum !== headDim / 2) {
    const must = `hold ${MROPE_AXES} counts that sum to head_dim / 2 (${headDim / 2})`;
    throw badConfig('readRope', key, must, section);
  }
  return { mropeSection: section };
}

function assertWholeHead(text: ConfigRecord, newer: ConfigRecord | undefined): void {
  const factor = configValue(newer ?? text, 'partial_rotary_factor') ?? 1;
  const byLayerType =
    newer !== undefined &&
    Object.values(newer).some((v) => typeof v === 'object' && v !== null && !Array.isArray(v));
  if (factor !== 1 || byLayerType) {
    throw new CheckpointError(
      'unsupported-config',
      'readRope: one rotary setting must apply to whole heads of all layers, got partial_rotary_factor or rope_parameters by layer type. Such models are not supported.',
    );
  }
}
