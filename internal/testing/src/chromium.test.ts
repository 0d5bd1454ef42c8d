import { afterEach, expect, test, vi } from 'vitest';
import { chromiumMissing } from './chromium-launch';

afterEach(() => {
  vi.unstubAllEnvs();
});

test('a machine without Chromium skips, and fails where REQUIRE_CHROMIUM=1 asks for it', async () => {
  vi.stubEnv('CHROMIUM', '/none');
  vi.stubEnv('REQUIRE_CHROMIUM', undefined);
  expect(chromiumMissing()).toContain('/none');
  vi.stubEnv('REQUIRE_CHROMIUM', '1');
  expect(chromiumMissing()).toBeUndefined();
});
