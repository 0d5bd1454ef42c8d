/** How tests start a headless Chromium: Debian's unless CHROMIUM names another, WebGPU by SwiftShader. */
import { existsSync } from 'node:fs';

const executable = () => process.env.CHROMIUM ?? '/usr/bin/chromium';

const FLAGS = [
  '--no-sandbox', // tests run as root in a container
  '--disable-background-networking',
  '--disable-component-update',
];
const WEBGPU_FLAGS = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

/** Why tests in a page cannot run here; `undefined` when they can, or must. */
export function chromiumMissing(): string | undefined {
  if (process.env.REQUIRE_CHROMIUM === '1' || existsSync(executable())) return undefined;
  return `no ${executable()}, install chromium`;
}

export interface LaunchOptions {
  /** Default true; without, pages find no adapter, as on many machines. */
  webGpu?: boolean;
}

/** What Playwright's `launch` is given. */
export function chromiumLaunch({ webGpu = true }: LaunchOptions = {}) {
  return { executablePath: executable(), args: webGpu ? [...FLAGS, ...WEBGPU_FLAGS] : FLAGS };
}
