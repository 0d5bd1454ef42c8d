export { accumulateGrads, type MicroBatch } from './accumulate-grads';
export { AdamW, type AdamWOptions, type AdamWState } from './adamw';
export { AdaptedProjection } from './adapted-projection';
export { clipByGlobalNorm } from './clip-by-global-norm';
export { crossEntropy, type RowWeights } from './cross-entropy';
export { type DistillationOptions, distillationLoss } from './distillation-loss';
export type { InitLoraWeights, LoraWeights } from './init-lora';
export { type LoraOptions, type LoraProjection, lora } from './lora';
export { type OutputMatchingOptions, outputMatchingLoss } from './output-matching-loss';
export type { Projection } from './projection';
export { registerGradients } from './register-gradients';
export type { TrainableParameter } from './trainable-parameter';
export {
  type TrainableProjection,
  type TrainableProjectionOptions,
  trainableProjection,
} from './trainable-projection';
export { assertTrainable, selectModules, trainableShare } from './trainable-set';
export { type ValueAndGrads, type ValueAndGradsOptions, valueAndGrads } from './value-and-grads';
export { type WsdScheduleOptions, wsdSchedule } from './wsd-schedule';
