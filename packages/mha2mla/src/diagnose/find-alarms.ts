/** What of a diagnosis should make somebody look, and what to do about it. */
import type { Alarm, LayerDiagnosis } from './diagnosis';

/** A tenth of the energy: an error of a third of what keys and values are. */
const TAIL = 0.1;
/** Two equal directions would have 2: below, one has nearly all of the energy. */
const FEWEST_DIRECTIONS = 1.5;
/** Of the attention, to a single token of each sample. */
const SINK = 0.5;
/** Medians of other heads' biases. */
const BIAS = 10;

export function findAlarms(layers: readonly LayerDiagnosis[]): Alarm[] {
  return layers.flatMap((layer) => [
    ...modalityAlarms(layer, 'vision'),
    ...modalityAlarms(layer, 'text'),
    ...sinkAlarms(layer),
    ...biasAlarms(layer),
  ]);
}

function modalityAlarms(diagnosis: LayerDiagnosis, modality: 'vision' | 'text'): Alarm[] {
  const { layer, [modality]: own } = diagnosis;
  if (!own) return [];
  const { rank, tailEnergy, relativeError, tokens, usedFallback, moment } = own;
  const alarm = (kind: Alarm['kind'], message: string): Alarm => ({
    ...{ kind, layer, modality },
    message: `layer ${layer}, ${modality}: ${message}`,
  });
  const alarms: Alarm[] = [];
  if (tailEnergy > TAIL) {
    alarms.push(
      alarm(
        'tail',
        `rank ${rank} would drop ${percent(tailEnergy)} of the energy, an error of ${relativeError.toFixed(2)}. Give more bytes, share a budget with --allocation measured, or plan to heal.`,
      ),
    );
  }
  if (usedFallback) {
    alarms.push(
      alarm(
        'tokens',
        `${tokens} calibration tokens are too few for this rank; the other modality fills in. Give more --samples, or DATA with ${modality === 'vision' ? 'pictures' : 'longer texts'}.`,
      ),
    );
  }
  if (moment && moment.effectiveRank < FEWEST_DIRECTIONS) {
    alarms.push(
      alarm(
        'condition',
        `one direction has nearly all of the inputs' energy (effective rank ${moment.effectiveRank.toFixed(2)}), so that errors elsewhere hardly count. Compare --init attention.`,
      ),
    );
  }
  return alarms;
}

function sinkAlarms({ layer, sink }: LayerDiagnosis): Alarm[] {
  if (!sink) return [];
  const { attentionShare, position, largestNorm, massiveShare } = sink;
  const said = [
    ...(attentionShare > SINK
      ? [`token ${position} of a sample takes ${percent(attentionShare)} of the attention`]
      : []),
    ...(massiveShare > 0
      ? [`a hidden state is ${largestNorm.toFixed(0)} times as large as others`]
      : []),
  ];
  if (said.length === 0) return [];
  const message = `layer ${layer}: ${said.join(', and ')}. Keep such tokens in the calibration as they are in use, each sample with its beginning, and give many --samples.`;
  return [{ kind: 'sink', layer, message }];
}

function biasAlarms({ layer, keyBias }: LayerDiagnosis): Alarm[] {
  if (!keyBias || (keyBias.ratio !== null && keyBias.ratio <= BIAS)) return [];
  const { head, norm, ratio } = keyBias;
  const times = ratio === null ? 'where most heads have none' : `${ratio.toFixed(0)} medians`;
  const message = `layer ${layer}: the key bias of KV head ${head} has a norm of ${norm.toPrecision(3)}, ${times}. It stays out of the latent, but not out of rotary keys: compare --rope-bits 16 before quantizing these.`;
  return [{ kind: 'keyBias', layer, message }];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
