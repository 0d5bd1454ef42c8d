/** Buffers of one owner: made, filled and freed together. */

type Words = Float32Array | Uint32Array | Int32Array;

export class DeviceBuffers {
  private readonly own: GPUBuffer[] = [];
  private disposed = false;

  constructor(readonly device: GPUDevice) {}

  /** A storage buffer of zeros. @throws RangeError beyond what a binding may hold. */
  storage(words: number): GPUBuffer {
    const size = 4 * Math.max(words, 1);
    const limit = this.device.limits.maxStorageBufferBindingSize;
    if (size > limit) {
      throw new RangeError(
        `DeviceBuffers: a buffer must fit into a binding of ${limit} bytes, got ${size}. Use narrower weights or a shorter cache.`,
      );
    }
    const { STORAGE, COPY_DST, COPY_SRC } = GPUBufferUsage;
    return this.create(size, STORAGE | COPY_DST | COPY_SRC);
  }

  /** A storage buffer that holds these words. */
  upload(words: Words): GPUBuffer {
    const buffer = this.storage(words.length);
    this.device.queue.writeBuffer(buffer, 0, words as Float32Array<ArrayBuffer>);
    return buffer;
  }

  /** A uniform that holds these words. */
  uniform(words: Uint32Array): GPUBuffer {
    const { UNIFORM, COPY_DST } = GPUBufferUsage;
    const buffer = this.create(words.byteLength, UNIFORM | COPY_DST);
    this.device.queue.writeBuffer(buffer, 0, words as Uint32Array<ArrayBuffer>);
    return buffer;
  }

  create(size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const buffer = this.device.createBuffer({ size, usage });
    this.own.push(buffer);
    return buffer;
  }

  get sizeBytes(): number {
    return this.own.reduce((sum, { size }) => sum + size, 0);
  }

  get isDisposed(): boolean {
    return this.disposed;
  }

  dispose(): void {
    this.disposed = true;
    for (const buffer of this.own) buffer.destroy();
    this.own.length = 0;
  }
}
