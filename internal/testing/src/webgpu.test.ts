import { afterEach, expect, test, vi } from 'vitest';
import { describeWebGpu, openWebGpu, webGpuMissing } from './index';

describeWebGpu('errors of the device', () => {
  test('are collected: WebGPU does not throw them', async () => {
    const { device, takeErrors } = await openWebGpu();
    device.createShaderModule({ code: 'fn broken( {' });
    device.createBuffer({ size: 64, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
    const errors = await takeErrors();
    expect(errors).toHaveLength(2);
    expect(errors[0]).toContain('broken');
    expect(await takeErrors()).toEqual([]);
  });

  test('come from more than the default limits too', async () => {
    const { device } = await openWebGpu();
    expect(device.limits.maxStorageBuffersPerShaderStage).toBe(8);
    expect(device.limits.maxComputeInvocationsPerWorkgroup).toBe(256);
    expect(device.limits.maxStorageBufferBindingSize).toBe(2 ** 27);
    expect(device.limits.maxComputeWorkgroupStorageSize).toBe(16384);
  });
});

afterEach(() => {
  vi.unstubAllEnvs();
});

test('a machine without a driver skips, and fails where REQUIRE_WEBGPU=1 asks for it', () => {
  vi.stubEnv('VK_ICD_FILENAMES', 'any.json');
  expect(webGpuMissing()).toBeUndefined();
  vi.stubEnv('REQUIRE_WEBGPU', '1');
  vi.stubEnv('VK_ICD_FILENAMES', undefined);
  expect(webGpuMissing()).toBeUndefined();
});
