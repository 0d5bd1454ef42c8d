export { type AssertFitsOptions, assertFits } from './assert-fits';
export { cacheBlock, parseCacheSetting } from './cache-setting';
export {
  type ChatModel,
  type ChatOptions,
  ChatSession,
  type ReplyOptions,
} from './chat/chat-session';
export type { CachedTokens, Reply, ReplyPart, ReplyResult, ReplyStats } from './chat/reply';
export { CheckpointWeights } from './checkpoint-weights';
export { createProcessor, type PreparedMedia, type ProcessorParts } from './create-processor';
export { decoderConfig } from './decoder-config';
export { type EmbedTokens, embedInputs } from './embed-inputs';
export { assertComplete, type TensorDifference, tensorDifference } from './expected-tensors';
export type {
  EncodeOptions,
  Positions,
  VisionEncoder,
  VisionFeatures,
  VlmConfig,
  VlmFamily,
} from './family';
export {
  type ClipImageProcessor,
  createClipImageProcessor,
  type ProcessedImage,
} from './image/clip-image-processor';
export type { RgbImage } from './image/rgb-image';
export { LATENT_SCALES, latentScales } from './latent-specs';
export { llava } from './llava/llava-family';
export { llavaNext } from './llava-next/llava-next-family';
export { parseMlaConfig } from './mla-config';
export type {
  MediaInputs,
  ModelInputs,
  PixelValues,
  Processor,
  ProcessorSample,
  Video,
} from './model-inputs';
export { type OpenVlmOptions, openVlm, type VlmSource } from './open-vlm';
export { prepareInputs } from './prepare-inputs';
export type { VideoPositions } from './qwen2-5-vl/mrope-media';
export { createQwen25Vl, type Qwen25VlOptions, qwen25Vl } from './qwen2-5-vl/qwen2-5-vl-family';
export { chatCompletions } from './runtime/chat-completions';
export type { ChatImage, ChatMessage, ChatPart, DecodeImage } from './runtime/chat-message';
export type { CompletionPart, CompletionRequest } from './runtime/completion-request';
export { connectModel } from './runtime/connect-model';
export { describeInWorker } from './runtime/describe-in-worker';
export { type DescribeModelOptions, describeModel } from './runtime/describe-model';
export { type LoadModelOptions, loadModel } from './runtime/load-model';
export type {
  ChatRequestOptions,
  LoadProgress,
  Model,
  ModelOptions,
  ModelSource,
} from './runtime/model';
export type { ModelDescription } from './runtime/model-description';
export { ModelError, type ModelErrorCode } from './runtime/model-error';
export { type ServeModelOptions, serveModel } from './runtime/serve-model';
export type { Endpoint } from './runtime/worker-protocol';
export { sequentialPositions } from './sequential-positions';
export type { ChatTemplate, RenderedPrompt } from './text/chat-template';
export { loadTextFiles, type TextFiles } from './text/load-text-files';
export { type Message, type MessagePart, messageParts } from './text/message-parts';
export { createStopTexts, type StopTexts } from './text/stop-texts';
export { createTokenStream, type TokenStream } from './text/token-stream';
export type { TextTokenizer } from './text/tokenizer';
export { videoAsText } from './video-as-text';
export { type ClipConfig, parseClipConfig } from './vision/clip-config';
export { ClipVisionTower } from './vision/clip-vision-tower';
export { VisionLanguageModel } from './vision-language-model';
export { type WeightSizeOptions, type WeightSizes, weightSizes } from './weight-sizes';
