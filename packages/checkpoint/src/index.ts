export { assertFinite } from './assert-finite';
export { assertTensorShape } from './assert-tensor-shape';
export { blobSource, blobStore } from './blob-store';
export type { ByteSource, FileStore } from './byte-source';
export type { Checkpoint, ReadFloat32Options } from './checkpoint';
export { CheckpointError, type CheckpointErrorCode } from './checkpoint-error';
export { concatBytes } from './concat-bytes';
export {
  type ConfigIntegerOptions,
  type ConfigRecord,
  configBoolean,
  configInteger,
  configIntegers,
  configNumber,
  configRecord,
  configString,
  configValue,
} from './config-values';
export { decodeFloat32, decodeInt32 } from './decode-tensor';
export { type Dtype, dtypeBits } from './dtype';
export { encodeRankFile } from './encode-rank-file';
export { encodeTensor, type TensorValues } from './encode-tensor';
export { type HttpStoreOptions, httpStore } from './http-store';
export {
  type KeepModelOptions,
  type KeepProgress,
  keepModel,
} from './keep/keep-model';
export type { KeptOptions } from './keep/kept-folder';
export { type KeptModel, keptModels } from './keep/kept-models';
export { type KeptStore, openKept } from './keep/open-kept';
export { removeKept } from './keep/remove-kept';
export { memorySource, memoryStore } from './memory-store';
export {
  type ModelConfig,
  type ModelDtype,
  parseModelConfig,
  readModelConfig,
} from './model-config';
export { COMPANION_FILES, rankFileName } from './model-files';
export { openCheckpoint } from './open-checkpoint';
export { openSafetensors } from './open-safetensors';
export type { PackedRows } from './packed/packed-rows';
export type { PackedRowForm, PackedTensors } from './packed/packed-tensors';
export type { Packing } from './packed/packing';
export { unpackedCheckpoint } from './packed/unpacked-checkpoint';
export { assertPlainName } from './plain-name';
export { escapeUnprintable, quoteName } from './quote-name';
export { readJson } from './read-json';
export { type PthTensor, readPth } from './read-pth';
export { type RankFile, readRankFile } from './read-rank-file';
export { type ReadTextOptions, readText } from './read-text';
export type { RopeScaling } from './rope-config';
export {
  type ReadHeaderOptions,
  readSafetensorsHeader,
  type SafetensorsHeader,
  type TensorInfo,
} from './safetensors-header';
export { showJson } from './show-json';
export { type ParseJsonOptions, parseJson } from './strict-json';
export type { TextConfig } from './text-config';
export {
  type ByteSink,
  safetensorsSize,
  type TensorEntry,
  type WriteSafetensorsOptions,
  writeSafetensors,
} from './write-safetensors';
