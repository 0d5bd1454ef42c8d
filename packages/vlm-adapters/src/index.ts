export { CheckpointWeights } from './checkpoint-weights';
export { type EmbedTokens, embedInputs } from './embed-inputs';
export type { EncodeOptions, Positions, VisionEncoder, VlmConfig, VlmFamily } from './family';
export { llava } from './llava/llava-family';
export { parseMlaConfig } from './mla-config';
export type { ModelInputs, Processor, ProcessorSample } from './model-inputs';
export { openVlm, type VlmSource } from './open-vlm';
export { prepareInputs } from './prepare-inputs';
export { VisionLanguageModel } from './vision-language-model';
