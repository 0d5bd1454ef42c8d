export { describeBackends, describeWebGpu } from './backends';
export {
  type ChromiumPage,
  describeChromium,
  launchChromium,
  type PageScripts,
} from './chromium';
export { chromiumMissing } from './chromium-launch';
export type { DescribeBackendsOptions } from './describe-over';
export { expectClose } from './expect-close';
export { fixture } from './fixture';
export { type FuzzBytesOptions, type FuzzOptions, fuzz, fuzzBytes, fuzzJson } from './fuzz/fuzz';
export { joinSafetensors, splitSafetensors } from './fuzz/safetensors-parts';
export { expectNoLeak } from './no-leak';
export { gaussian } from './random';
export { type FixtureTensor, readSafetensors } from './read-safetensors';
export { type FileServer, serveFiles } from './serve-files';
export { tensorFlowMissing } from './tensorflow';
export { nameDriver, openWebGpu, type TestWebGpu, webGpuMissing } from './webgpu';
