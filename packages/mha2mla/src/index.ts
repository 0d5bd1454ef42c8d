export type { AdapterConfig } from './adapter/adapter-config';
export { largestLogitChange } from './adapter/largest-logit-change';
export { type LoadAdapterOptions, loadAdapter } from './adapter/load-adapter';
export { type ModelAdapter, ModelAdapters } from './adapter/model-adapters';
export { type SaveAdapterOptions, saveAdapter } from './adapter/save-adapter';
export type { ConversionReport, LayerReport } from './convert/conversion-report';
export { type ConvertRunOptions, convertModel } from './convert/convert-model';
export type { ConversionPlan, ConvertOptions } from './convert/convert-options';
export { type FitCacheOptions, fitCache } from './convert/fit-cache';
export { planConversion } from './convert/plan-conversion';
export type { FactorJob, FactorResult, FactorRunner } from './convert/run-factor-job';
export {
  type CalibrationOptions,
  calibrationBatches,
  readCalibrationFile,
} from './data/calibration-samples';
export { type Conversation, parseConversations } from './data/conversation';
export { type Question, questionOf } from './data/question';
export { type DiagnoseOptions, diagnoseModel } from './diagnose/diagnose-model';
export type { Alarm, Diagnosis, LayerDiagnosis, ModalityDiagnosis } from './diagnose/diagnosis';
export { askOverCache } from './evaluate/ask-over-cache';
export { type EmbeddedReferences, embedReferences } from './evaluate/embed-references';
export { type EvaluateOptions, type Evaluation, evaluate } from './evaluate/evaluate';
export { type PackedReferences, packReferences } from './evaluate/pack-references';
export type { ReferenceScore } from './evaluate/score-answers';
export { type CacheScores, scoreOverCache } from './evaluate/score-over-cache';
export { type ScoreOptions, scoreReferences } from './evaluate/score-references';
export { HealingDiverged } from './heal/divergence';
export type { HealedLayers, LayerwiseReport } from './heal/gather-layers';
export { healLayerwise, type LayerwiseRun } from './heal/heal-layerwise';
export { type Healed, type HealReport, type HealRun, healModel } from './heal/heal-model';
export { type HealOptions, type HealPlan, planHealing } from './heal/heal-options';
export {
  type HealedProgressively,
  healProgressive,
  type ProgressiveReport,
  type ProgressiveRun,
} from './heal/heal-progressive';
export type { HealState } from './heal/heal-state';
export type { MergedWeight, MergedWeights } from './heal/merge-adapters';
export { type HealedLatents, type NarrowedLatents, writeHealed } from './heal/write-healed';
export { memoryOutput, type ResultOutput } from './output/result-output';
export type { Spending } from './spend/choose-spending';
export { type Trace, type TraceOptions, type TraceTensor, traceModel } from './trace/trace-model';
