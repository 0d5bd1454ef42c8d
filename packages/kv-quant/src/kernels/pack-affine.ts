/**
 * Kernel `PackAffine`: zero = min, scale = (max - min) / (2^bits - 1), code = round((x - zero) / scale)
 * (KIVI, arXiv 2402.02750), against the scale and the zero point that are stored.
 */
import { encodeAffine, spanParams } from './affine-params';
import { type EncodeGroup, packGroups, packOp } from './pack-kernel';

const encodeGroup: EncodeGroup = (x, group, { bits }, codes) => {
  const levels = 2 ** bits - 1;
  const param = spanParams(x, group, levels);
  encodeAffine(x, group, levels, param, codes);
  return param;
};

export const packAffine = packOp('PackAffine', packGroups(encodeGroup));
