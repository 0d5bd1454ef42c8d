import { expect, test } from 'vitest';
import { pageTests } from './page-tests';

test('all tests of the libraries run in a page, but these', () => {
  const { inPage, inNodeAlone } = pageTests();
  expect(inPage.length).toBeGreaterThanOrEqual(142);
  expect(inNodeAlone).toMatchInlineSnapshot(`
    [
      "packages/checkpoint/src/chromium-keep.test.ts",
      "packages/checkpoint/src/exports.test.ts",
      "packages/checkpoint/src/http-store.test.ts",
      "packages/checkpoint/src/node/half-written.test.ts",
      "packages/checkpoint/src/node/node-store.test.ts",
      "packages/checkpoint/src/node/output-folder.test.ts",
      "packages/checkpoint/src/read-pth.test.ts",
      "packages/lowrank/src/loading.test.ts",
      "packages/mla-runtime/src/host/host-module.test.ts",
      "packages/vlm-adapters/src/chat/chat-session.test.ts",
      "packages/vlm-adapters/src/create-processor.test.ts",
      "packages/vlm-adapters/src/image/clip-image-processor.test.ts",
      "packages/vlm-adapters/src/image/resize-bicubic.test.ts",
      "packages/vlm-adapters/src/llava-next/llava-next-family.test.ts",
      "packages/vlm-adapters/src/llava-next/prepare-crops.test.ts",
      "packages/vlm-adapters/src/qwen2-5-vl/processor/load-qwen2-5-vl-processor.test.ts",
      "packages/vlm-adapters/src/runtime/bundle.test.ts",
      "packages/vlm-adapters/src/runtime/chat-completions.test.ts",
      "packages/vlm-adapters/src/runtime/connect-model.test.ts",
      "packages/vlm-adapters/src/runtime/describe-model.test.ts",
      "packages/vlm-adapters/src/runtime/load-model.test.ts",
      "packages/vlm-adapters/src/text/bounded-template.test.ts",
      "packages/vlm-adapters/src/text/linear-pattern.test.ts",
    ]
  `);
});
