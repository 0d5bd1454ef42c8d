export { decodeImage } from './node/decode-image';
export { type FactorPoolOptions, factorPool } from './node/factor-pool';
export { type FolderOutput, folderOutput } from './node/folder-output';
export { type HealPool, type HealWorkerData, healPool } from './node/heal-pool';
export { loadQuestions, readPicture, readVideo } from './node/load-data';
export { FAMILIES, type OpenModel, openModelFolder } from './node/open-model';
export { BACKENDS, type BackendChoice, useBackend } from './node/register-backends';
export {
  type BytesPoint,
  type BytesSeries,
  type DrawAgainstBytesOptions,
  drawAgainstBytes,
} from './node/report/draw-against-bytes';
export { type HiddenSpill, type SpillOptions, spillHidden } from './node/spill-hidden';
