/** A queue of jobs on a Redis server, by its URL. */
import { showJson } from '@mha2mla/checkpoint';
import type { Redis } from 'ioredis';
import { JobError } from '../../jobs/job-error';
import { importPeer } from './import-peer';

/** How long a server may take to answer at the start. */
const FIRST_ANSWER_MS = 5000;

export interface RedisPlace {
  /** For messages: without user and password. */
  name: string;
  /** Of the queue: all versions and backends share one. */
  queue: string;
  connect(): Promise<Redis>;
}

/**
 * @param url `redis://USER:PASSWORD@HOST:PORT/DB`, or `rediss://` with TLS; `?queue=NAME` for a queue
 *   other than `mha2mla`.
 * @throws JobError `engine` for what is no such URL.
 */
export function redisPlace(url: string): RedisPlace {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !isWhole(parsed)) {
    // What was given may hold a password.
    throw new JobError(
      'engine',
      'engine: expected redis://HOST:PORT/DB or rediss://…, got another form. A password of other signs than letters and digits is written by encodeURIComponent.',
    );
  }
  const { protocol, host, pathname, searchParams } = parsed;
  const queue = searchParams.get('queue') ?? 'mha2mla';
  if (!/^[\w.-]{1,64}$/.test(queue)) {
    throw new JobError(
      'engine',
      `engine: queue must be of letters and digits, got ${showJson(queue)}.`,
    );
  }
  parsed.search = '';
  const name = `${protocol}//${host}${pathname === '/' ? '' : pathname}`;
  return {
    name,
    queue,
    async connect() {
      const { Redis } = await importPeer(() => import('ioredis'), 'bullmq ioredis');
      const client = new Redis(parsed.href, {
        maxRetriesPerRequest: null, // BullMQ waits for a server that is gone for a while
        lazyConnect: true,
      });
      try {
        await firstAnswer(client, name);
        return client;
      } catch (error) {
        client.disconnect();
        throw error;
      }
    },
  };
}

/** Whether nothing of a password was taken for a path, a query or a fragment, since it has / ? or #. */
function isWhole({ protocol, hostname, pathname, searchParams, hash }: URL): boolean {
  if (!['redis:', 'rediss:'].includes(protocol) || hostname === '' || hash !== '') return false;
  return /^\/?\d*$/.test(pathname) && [...searchParams.keys()].every((name) => name === 'queue');
}

async function firstAnswer(client: Redis, name: string): Promise<void> {
  let last: Error | undefined;
  client.on('error', (error) => {
    last = error; // told below, and from then on by those who use the client
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(last ?? new Error('no answer')), FIRST_ANSWER_MS);
  });
  try {
    await Promise.race([client.connect().then(() => client.ping()), late]);
  } catch (cause) {
    const why = (last ?? (cause as Error)).message;
    throw new JobError('engine', `engine: ${name} must answer, got: ${why}. Is the server up?`, {
      cause,
    });
  } finally {
    clearTimeout(timer);
  }
}
