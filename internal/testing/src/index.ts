export { describeBackends } from './backends';
export { expectClose } from './expect-close';
export { fixture } from './fixture';
export { assertReaderLaw, type FuzzOptions, fuzzBytes, fuzzJson } from './fuzz/fuzz';
export { expectNoLeak } from './no-leak';
export { gaussian } from './random';
export { type FixtureTensor, readSafetensors } from './read-safetensors';
