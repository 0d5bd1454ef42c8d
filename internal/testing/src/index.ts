export { describeBackends } from './backends';
export { expectClose } from './expect-close';
export { fixture } from './fixture';
export { expectNoLeak } from './no-leak';
export { gaussian } from './random';
export { type FixtureTensor, readSafetensors } from './read-safetensors';
