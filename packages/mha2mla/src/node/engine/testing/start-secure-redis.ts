/** A Redis server with TLS, a user and a password (openssl makes the certificate). */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, startRedis } from './start-redis';

export const PASSWORD = 'open-sesame';

export interface SecureRedis {
  url: string;
  /** Of its certificate, for NODE_EXTRA_CA_CERTS. */
  certificate: string;
  remove(): Promise<void>;
}

export async function startSecureRedis(): Promise<SecureRedis> {
  const folder = await mkdtemp(join(tmpdir(), 'mha2mla-tls-'));
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'],
    ...['-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', certificate],
  ]);
  const port = await freePort();
  const redis = await startRedis([
    ...['--tls-port', String(port), '--tls-auth-clients', 'no'],
    ...['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificate],
    ...[
      '--user',
      'somebody',
      'on',
      `>${PASSWORD}`,
      '~*',
      '&*',
      '+@all',
      '--user',
      'default',
      'off',
    ],
  ]);
  return {
    url: `rediss://somebody:${PASSWORD}@localhost:${port}`,
    certificate,
    async remove() {
      await redis.remove();
      await rm(folder, { recursive: true });
    },
  };
}
