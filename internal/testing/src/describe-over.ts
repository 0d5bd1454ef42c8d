import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe } from 'vitest';

export interface DescribeBackendsOptions {
  /** Run on webgpu too, where a body must not use `dataSync` and a software adapter is slow. */
  webgpu?: boolean;
}

export interface TestBackend {
  name: string;
  /** Why it cannot run here, if so. */
  missing?: () => string | undefined;
  /** Register it; before that it need not be there. */
  load?: () => void;
}

type Body = (backend: string) => void;

/**
 * Run `body` once per backend; inside, `tf.getBackend()` is that backend.
 * @param options may be left out.
 */
export interface DescribeBackends {
  (name: string, body: Body): void;
  (name: string, options: DescribeBackendsOptions, body: Body): void;
}

/** Make a `describeBackends` of those backends that tests may have here, in Node or in a page. */
export function describeOver(
  backends: readonly TestBackend[],
  describeWebGpu: (name: string, body: () => void) => void,
): DescribeBackends {
  return (name: string, options: DescribeBackendsOptions | Body, given?: Body) => {
    const body = typeof options === 'function' ? options : given!;
    for (const backend of backends) describeOn(name, backend, body);
    if (options !== body && (options as DescribeBackendsOptions).webgpu) {
      describeWebGpu(name, () => body('webgpu'));
    }
  };
}

function describeOn(name: string, { name: backend, missing, load }: TestBackend, body: Body): void {
  const reason = missing?.();
  if (reason !== undefined) {
    describe.skip(`${name} [${backend}: ${reason}]`, () => body(backend));
    return;
  }
  describe(`${name} [${backend}]`, () => {
    beforeAll(async () => {
      load?.();
      await tf.setBackend(backend);
      await tf.ready();
    });
    body(backend);
  });
}
