/** Where a queue lies, and that its password is told to nobody. */
import { createServer, type Server, type Socket } from 'node:net';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { JobError } from '../../jobs/job-error';
import { redisPlace } from './redis-place';
import { hasRedis, startRedis } from './testing/start-redis';

const SECRET = 'open-sesame';
let server: Server | undefined;
afterEach(() => {
  server?.close();
  server = undefined;
});

test.each([
  ['redis://host', 'redis://host', 'mha2mla'],
  ['redis://host/', 'redis://host', 'mha2mla'],
  ['redis://host:6380/2', 'redis://host:6380/2', 'mha2mla'],
  ['rediss://user:secret@host:6380/2?queue=nightly', 'rediss://host:6380/2', 'nightly'],
  ['redis://:secret@host', 'redis://host', 'mha2mla'],
  ['redis://[::1]:6379?queue=a.b-c_1', 'redis://[::1]:6379', 'a.b-c_1'],
])('%s is called %s, with the queue %s', (url, name, queue) => {
  expect(redisPlace(url)).toMatchObject({ name, queue });
});

test.each([
  ...['', 'host:6379', `http://user:${SECRET}@host`, `redis:${SECRET}`, `redis://${SECRET}@`],
  ...[`redis://u:1/${SECRET}@host`, `redis://u:1?${SECRET}@host`, `redis://u:1#${SECRET}@host`],
  ...[`redis//:${SECRET}@host`, `redis://user:${SECRET}@host:port`, `threads:${SECRET}`],
])('%j is no place, and is not repeated', (url) => {
  const error = errorOf(() => redisPlace(url).name);
  expect(error).toMatchObject({ name: 'JobError', code: 'engine' });
  expect(error!.message).toMatch(/^engine: expected redis:/);
  expect(inspect(error, { showHidden: true, depth: 9 })).not.toContain(SECRET);
});

test.each(['', 'a b', 'a:b', '{a}', '../a', 'a'.repeat(65), 'a\n', 'é'])(
  'a queue is of plain letters: %j',
  (queue) => {
    const url = `redis://user:${SECRET}@host?queue=${encodeURIComponent(queue)}`;
    const error = errorOf(() => redisPlace(url));
    expect(error!.message).toMatch(/^engine: queue must be of letters and digits, got/);
    expect(error!.message).not.toContain(SECRET);
  },
);

test('whatever user and password are, neither name nor error holds them', () => {
  const word = fc.stringMatching(/^[!-~]{4,20}$/).map((text) => `Zq${text}`);
  const property = fc.property(word, word, fc.nat(70_000), (user, password, port) => {
    const encoded = [user, password].map(encodeURIComponent);
    for (const [a, b] of [[user, password], [user, `12${password}`], encoded]) {
      const { name, error } = attempt(`redis://${a}:${b}@host:${port}/1`);
      const told = `${name}${inspect(error, { showHidden: true, depth: 9 })}`;
      for (const part of [b!, password]) expect(told).not.toContain(part);
      if (name) expect(name).toMatch(/^redis:\/\/host(:\d+)?\/1$/);
    }
  });
  fc.assert(property, { seed: 1, numRuns: 300 });
});

test('a server that is not there, and one that says nothing, without the password', async () => {
  const silent = await listen((socket) => void socket.on('error', () => {}));
  expect(await refusal(urlOf(silent))).toMatch(/must answer, got: no answer\. Is the server up/);
  server!.close();
  expect(await refusal(urlOf(silent))).toMatch(
    /must answer, got: .*ECONNREFUSED.*Is the server up/,
  );
});

test.skipIf(!hasRedis)('a server that refuses, without the password', async () => {
  const redis = await startRedis(['--user', 'user', 'on', '>another', '~*', '&*', '+@all']);
  try {
    expect(await refusal(urlOf(redis.port))).toMatch(/must answer, got: .*WRONGPASS/);
  } finally {
    await redis.remove();
  }
});

const urlOf = (port: number) => `redis://user:${SECRET}@127.0.0.1:${port}/0`;

async function refusal(url: string): Promise<string> {
  const error = await redisPlace(url)
    .connect()
    .then(
      () => expect.unreachable(),
      (got: unknown) => got,
    );
  expect(error).toBeInstanceOf(JobError);
  expect((error as Error).message).not.toContain(SECRET);
  expect(inspect(error, { showHidden: true, depth: 9 })).not.toContain(SECRET);
  return (error as Error).message;
}

function attempt(url: string): { name?: string; error?: Error } {
  let name: string | undefined;
  const error = errorOf(() => {
    name = redisPlace(url).name;
  });
  return { name, error };
}

function errorOf(body: () => unknown): Error | undefined {
  try {
    body();
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

async function listen(onSocket: (socket: Socket) => void): Promise<number> {
  const own = createServer(onSocket);
  server = own;
  await new Promise<void>((resolve) => {
    own.listen(0, '127.0.0.1', resolve);
  });
  return (own.address() as { port: number }).port;
}
