/**
 * What the queue itself costs: jobs that do nothing, of so many shards and layers, each shard's layer
 * after layer, through BullMQ on a Redis of their own, worker and coordinator in one process.
 * `node bench/engine/queue.js [--shards 1000] [--layers 80] [--concurrency 64]`; see ../README.md.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { queueEngine, queueWorker } from 'mha2mla/node';

const PORT = 7397;
const { values } = parseArgs({
  options: {
    shards: { type: 'string', default: '1000' },
    layers: { type: 'string', default: '80' },
    concurrency: { type: 'string', default: '64' },
  },
});
const [shards, layers] = [Number(values.shards), Number(values.layers)];
const folder = mkdtempSync(join(tmpdir(), 'mha2mla-bench-queue-'));
const redis = spawn('redis-server', ['--port', `${PORT}`, '--save', '', '--dir', folder]);
await new Promise((resolve) => redis.stdout.on('data', (text) => /Ready/.test(text) && resolve()));

const url = `redis://127.0.0.1:${PORT}`;
const runtime = { version: 'bench', backend: 'none' };
/** No job is done when it is first asked about, and each is afterwards. */
const asked = new Set();
const store = {
  name: 'memory',
  ofRun: () => ({
    async readRecord(key) {
      if (asked.has(key)) return '{}';
      asked.add(key);
      return undefined;
    },
  }),
};
const digest = (n) => n.toString(16).padStart(64, '0');
const ref = (n) => ({ sha256: digest(n), sizeBytes: 0 });
const nothing = { run: async () => ({}), close: async () => {} };
const engine = await queueEngine({ url, store, runtime });
const stop = new AbortController();
const working = queueWorker({
  ...{ url, runtime, engine: nothing, signal: stop.signal },
  concurrency: Number(values.concurrency),
});
const began = performance.now();
const cpu = process.cpuUsage();
await Promise.all(Array.from({ length: shards }, (_, shard) => walk(shard)));
const seconds = (performance.now() - began) / 1000;
const { user, system } = process.cpuUsage(cpu);
const memory = await redisMemory();
const result = {
  ...{ shards, layers, jobs: shards * layers, seconds },
  msAJob: (1000 * seconds) / (shards * layers),
  cpuMsAJob: (user + system) / 1000 / (shards * layers),
  redisMegabytes: memory / 1e6,
};
console.table([result]);
writeFileSync(
  fileURLToPath(new URL('../results/engine-queue.json', import.meta.url)),
  `${JSON.stringify(result, null, 2)}\n`,
);
stop.abort();
await working;
await engine.close();
redis.kill();
rmSync(folder, { recursive: true });
process.exit();

async function redisMemory() {
  const client = new Redis(url);
  const found = /used_memory_peak:(\d+)/.exec(await client.info('memory'));
  client.disconnect();
  return Number(found[1]);
}

async function walk(shard) {
  for (let layer = 0; layer < layers; layer++) {
    const model = { folder: 'none', digest: digest(0), version: digest(0) };
    const place = { run: digest(1), model, plan: ref(0), layer, before: 16 * shard };
    const job = { kind: 'calibrate', ...place, samples: ref(shard), hidden: ref(layer) };
    await engine.run(job, { priority: 1 + layer, total: shards * layers });
  }
}
