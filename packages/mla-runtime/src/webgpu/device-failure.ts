/**
 * WebGPU does not throw: an invalid program, memory that is out and a lost device are events, and
 * what was computed is zeros. They are kept per device until someone asks.
 */
import * as tf from '@tensorflow/tfjs-core';
import { DeviceFailedError } from './device-failed-error';

interface Failures {
  /** Since someone last asked. */
  messages: string[];
  /** Told to all who ask: nothing that the device held comes back. */
  lost?: string;
}

const failures = new WeakMap<GPUDevice, Failures>();

/** Keep what a device reports from now on. Watching twice changes nothing. */
export function watchDevice(device: GPUDevice): void {
  if (failures.has(device)) return;
  const known: Failures = { messages: [] };
  failures.set(device, known);
  device.addEventListener('uncapturederror', (event) => {
    const { error } = event as GPUUncapturedErrorEvent;
    known.messages.push(`${error.constructor.name}: ${error.message}`);
  });
  device.lost.then(({ reason, message }) => {
    known.lost = `device lost (${reason}): ${message}`;
  });
}

/** The device of the backend in use; `undefined` on any but webgpu. */
export function currentDevice(): GPUDevice | undefined {
  if (tf.getBackend() !== 'webgpu') return undefined;
  return (tf.backend() as tf.KernelBackend & { device: GPUDevice }).device;
}

/**
 * Read a tensor's values, sure that they were computed.
 * @throws DeviceFailedError with what the device has reported since it was last asked.
 */
export async function readValues(tensor: tf.Tensor): Promise<Float32Array | Int32Array> {
  const device = currentDevice();
  try {
    const values = (await tensor.data()) as Float32Array | Int32Array;
    throwFailure(device);
    return values;
  } catch (error) {
    await device?.queue.onSubmittedWorkDone().catch(() => {}); // let the loss be heard
    throwFailure(device, error);
    throw error;
  }
}

/** The same of a tensor that nobody needs any more. */
export async function readAndDispose(tensor: tf.Tensor): Promise<Float32Array> {
  try {
    return (await readValues(tensor)) as Float32Array;
  } finally {
    tensor.dispose();
  }
}

/** @throws DeviceFailedError with what the device has reported since it was last asked. */
export function throwFailure(device: GPUDevice | undefined, cause?: unknown): void {
  const known = device && failures.get(device);
  if (!known) return;
  const messages = known.messages.splice(0);
  if (known.lost !== undefined) {
    throw new DeviceFailedError('device-lost', [known.lost, ...messages], cause);
  }
  if (messages.length > 0) throw new DeviceFailedError('device-failed', messages, cause);
}

/** Hand the device what TensorFlow.js has recorded so far, before buffers of it are destroyed. */
export function submitPending(device: GPUDevice): void {
  if (currentDevice() !== device) return;
  const backend = tf.backend() as tf.KernelBackend & {
    commandEncoder?: GPUCommandEncoder | null;
    endComputePassEncoder(): void;
    submitQueue(): void;
  };
  if (!backend.commandEncoder) return;
  backend.endComputePassEncoder();
  backend.submitQueue();
}
