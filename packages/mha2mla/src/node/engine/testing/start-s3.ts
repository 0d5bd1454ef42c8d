/** A server that speaks S3's protocol, of a test's own: moto, by what CONTRIBUTING.md says. */
import { spawnSync } from 'node:child_process';
import { startProcess } from '../../../cli/testing/start-process';
import { said } from './start-redis';

/** Its command, where it is not on the path. */
const COMMAND = process.env.MOTO_SERVER ?? 'moto_server';

/** Why tests over a bucket cannot run here; `undefined` when they can, or must. */
export function s3Missing(): string | undefined {
  if (process.env.REQUIRE_S3 === '1') return undefined;
  return isInstalled() ? undefined : `no ${COMMAND}, see CONTRIBUTING.md`;
}

function isInstalled(): boolean {
  return spawnSync(COMMAND, ['--help']).error === undefined;
}

/** Of {@link S3Server.env}. */
export const S3_SECRET = 'open-sesame-and-tell-nobody';

export interface S3Server {
  /** How the SDK finds it. */
  env: Record<string, string>;
  /** Let in whoever comes, as at first, or none that it does not know: it knows nobody. */
  guard(strict: boolean): Promise<void>;
  stop(): Promise<void>;
}

export async function startS3(): Promise<S3Server> {
  if (!isInstalled()) {
    throw new Error(`startS3: ${COMMAND} must be installed, got none. See CONTRIBUTING.md.`);
  }
  const running = startProcess(COMMAND, ['-H', '127.0.0.1', '-p', '0']);
  const address = /Running on (http:\/\/127\.0\.0\.1:\d+)/;
  await said(running, address);
  const url = address.exec(running.stdout + running.stderr)![1]!;
  return {
    env: {
      AWS_ENDPOINT_URL_S3: url,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'somebody',
      AWS_SECRET_ACCESS_KEY: S3_SECRET,
    },
    async guard(strict) {
      await fetch(`${url}/moto-api/reset-auth`, { method: 'POST', body: strict ? '0' : 'inf' });
    },
    async stop() {
      running.child.kill('SIGKILL');
      await running.ended;
    },
  };
}
