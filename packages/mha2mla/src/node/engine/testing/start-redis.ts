/** A Redis server of a test's own. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Running, startProcess } from '../../../cli/testing/start-process';

/** Whether `redis-server` is there; where REQUIRE_REDIS is set, a test that needs it fails without. */
export const hasRedis =
  process.env.REQUIRE_REDIS === '1' || spawnSync('redis-server', ['--version']).status === 0;

export interface RedisServer {
  url: string;
  port: number;
  /** Start it again after `kill`, with an empty memory. */
  start(): Promise<void>;
  /** End it at once, with what it had in memory. */
  kill(): Promise<void>;
  /** End it, and remove its folder. */
  remove(): Promise<void>;
}

export async function startRedis(options: readonly string[] = []): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'mha2mla-redis-'));
  const port = await freePort();
  let running: Running | undefined;
  const server: RedisServer = {
    url: `redis://127.0.0.1:${port}`,
    port,
    async start() {
      const place = ['--port', String(port), '--dir', folder, '--save', ''];
      running = startProcess('redis-server', [...place, ...options]);
      await said(running, 'Ready to accept connections');
    },
    async kill() {
      running!.child.kill('SIGKILL');
      await running!.ended;
    },
    async remove() {
      await server.kill();
      await rm(folder, { recursive: true });
    },
  };
  await server.start();
  return server;
}

/** Resolves when a process has said something. @throws Error with all that it said, where it ends before. */
export function said(running: Running, what: string | RegExp): Promise<void> {
  const found = () => {
    const all = running.stdout + running.stderr;
    return typeof what === 'string' ? all.includes(what) : what.test(all);
  };
  return new Promise((resolve, reject) => {
    const look = () => {
      if (found()) resolve();
    };
    running.child.stdout!.on('data', look);
    running.child.stderr!.on('data', look);
    void running.ended.then(() => {
      if (!found()) reject(new Error(`expected ${what}, got ${running.stdout}${running.stderr}`));
    });
    look();
  });
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
