export type {
  Attention,
  AttentionObservation,
  PrefillOptions,
  Segment,
} from './attention/attention';
export { LATENT_FOLDERS } from './attention/latent-folders';
export { type BackendRoom, backendRoom } from './backend-room';
export { type CacheBytes, cacheBytesPerToken } from './cache/cache-bytes';
export {
  CACHE_BITS,
  CACHE_METHODS,
  type CacheBits,
  type CacheMethod,
  type CacheOptions,
  cacheStorage,
  fitsLatents,
  fittedBits,
  type LayerCacheBits,
  methodBits,
} from './cache/cache-options';
export { DecoderCache, type DecoderCacheBytes } from './cache/decoder-cache';
export { type BackendName, chooseBackend } from './choose-backend';
export { ContextFullError } from './context-full-error';
export type { DecodedBy } from './decode-path';
export { type DecodeStep, decodeStep } from './decode-step';
export { Decoder, type DecoderParts } from './decoder';
export { checkDecoderConfig, type DecoderConfig, type MlaConfig } from './decoder-config';
export { DecoderLayer } from './decoder-layer';
export { denseProjection } from './dense-projection';
export { type GenerateInputs, type GenerateOptions, type GenerateStep, generate } from './generate';
export { asOnTape } from './kernels/on-tape';
export { type LoadDecoderOptions, loadDecoder, loadDecoderLayer } from './load-decoder';
export { loadProjection } from './load-projection';
export { type LoadWeightsOptions, loadingReader } from './loading-reader';
export { type EmbeddingTable, lookupEmbeddings } from './lookup-embeddings';
export { keptPacking } from './packed/kept-packing';
export { packProjection } from './packed/pack-projection';
export { packedBytes, type WeightPacking } from './packed/packed-matrix';
export type { StoredRows } from './packed/take-over';
export { type PrefillInputs, prefillLogits } from './prefill-logits';
export type { Projection } from './projection';
export { rmsNorm } from './rms-norm';
export { applyRotary, type RotaryTable, rotaryAngles, rotaryFrequencies } from './rotary';
export type { DecoderPrefillOptions } from './run-prefill';
export { argMax, type SamplingOptions, sampleToken } from './sample';
export { seededRandom } from './seeded-random';
export { type PrefillStep, type PrefillStepOptions, prefillStep } from './step';
export { PADDING, TEXT, type TokenLayout, textLayout, tokenLayout, VISION } from './token-layout';
export { WASM_HEAP_BYTES } from './wasm-heap-bytes';
export { DeviceFailedError } from './webgpu/device-failed-error';
export { readValues } from './webgpu/device-failure';
export { RecordedDecode, type RecordOptions } from './webgpu/recorded-decode';
export {
  type RegisterWebGpuOptions,
  registerWebGpu,
  type WebGpuBackendClass,
} from './webgpu/register-webgpu';
export { WEIGHT_FORMATS, type WeightFormat } from './webgpu/weight-format';
export type { WeightReader } from './weight-reader';
export { withoutPadding } from './without-padding';
export { yieldToEventLoop } from './yield-to-event-loop';
