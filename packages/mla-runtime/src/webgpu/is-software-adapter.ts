/** Names under which drivers that run on the processor are known. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|basic render/i;

/** Whether an adapter runs on the processor, as far as it says. */
export function isSoftwareAdapter(info: GPUAdapterInfo | undefined): boolean {
  // Newer than the types that tfjs comes with.
  const { isFallbackAdapter = false } = (info ?? {}) as { isFallbackAdapter?: boolean };
  return isFallbackAdapter || SOFTWARE.test(`${info?.architecture} ${info?.description}`);
}
