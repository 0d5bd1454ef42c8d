export { describeBackends } from './backends';
export { expectClose } from './expect-close';
export { fixture } from './fixture';
export { type FuzzBytesOptions, type FuzzOptions, fuzz, fuzzBytes, fuzzJson } from './fuzz/fuzz';
export { joinSafetensors, splitSafetensors } from './fuzz/safetensors-parts';
export { expectNoLeak } from './no-leak';
export { gaussian } from './random';
export { type FixtureTensor, readSafetensors } from './read-safetensors';
export { tensorFlowMissing } from './tensorflow';
