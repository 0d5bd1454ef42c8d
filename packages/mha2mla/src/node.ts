export type { Engine, RunJobOptions } from './jobs/engine';
export type { Job, JobKind, JobOutputs, JobRuntime, ModelRef } from './jobs/job';
export { JobError, type JobErrorCode } from './jobs/job-error';
export type { ContentRef, JobStore, SharedStore } from './jobs/job-store';
export { type SpreadConvertOptions, spreadConversion } from './jobs/spread-conversion';
export { type SpreadEvaluateOptions, spreadEvaluation } from './jobs/spread-evaluation';
export { type SpreadHealed, type SpreadHealing, spreadHealing } from './jobs/spread-healing';
export type { SpreadRun } from './jobs/spread-run';
export { decodeImage } from './node/decode-image';
export { jobRuntime } from './node/engine/job-runtime';
export { openStore, type StorePlace } from './node/engine/open-store';
export { type PlaceModelOptions, placeModel } from './node/engine/place-model';
export { type QueueEngineOptions, queueEngine } from './node/engine/queue-engine';
export {
  type QueueStatus,
  type QueueWatch,
  type RunStatus,
  watchQueue,
} from './node/engine/queue-status';
export { type QueueWorkerOptions, queueWorker } from './node/engine/queue-worker';
export { type ThreadEngineOptions, threadEngine } from './node/engine/thread-engine';
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
