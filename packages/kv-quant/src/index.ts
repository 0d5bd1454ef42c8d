export { concatPacked } from './concat-packed';
export { dequantizeAffine } from './dequantize-affine';
export { packedBytesPerToken } from './packed-bytes-per-token';
export type { PackedBits, PackOptions } from './packed-layout';
export { PackedTensor } from './packed-tensor';
export { quantizeAffine } from './quantize-affine';
