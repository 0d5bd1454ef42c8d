export { bytesPerToken } from './bytes-per-token';
export type { ByteCount } from './cache-bytes';
export { concatPacked } from './concat-packed';
export { dequantize } from './dequantize';
export { type FitStaticOptions, fitStatic } from './fit-static';
export { hadamardBlocks, walshHadamardInPlace } from './kernels/hadamard';
export { halfValues, nearestHalf } from './kernels/half-float';
export { type HostKernel, type HostWork, registerHostKernel } from './kernels/host-kernel';
export { PackedTensor } from './packed-tensor';
export {
  type AffineSpec,
  type BandPlace,
  bandsOf,
  type CodeWidths,
  type HalfSpec,
  type Int8Spec,
  type LloydMaxSpec,
  type QuantAxis,
  type QuantSpec,
} from './quant-spec';
export { quantize } from './quantize';
export {
  type CachePart,
  QuantizedCache,
  type QuantizedCacheOptions,
  type RewindResult,
} from './quantized-cache';
export { slicePacked } from './slice-packed';
export type { ChannelBand, StaticSpec } from './static-spec';
export { CODES_WGSL } from './webgpu/codes-wgsl';
export { paramWgsl } from './webgpu/param-wgsl';
