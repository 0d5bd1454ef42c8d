/** A network of a process's own, joined to this machine by a link that can be cut (iproute2, as root). */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface Network {
  /** This machine, as seen from there. */
  host: string;
  /** Words before a command that shall run there. */
  command: readonly string[];
  set(state: 'up' | 'down'): Promise<void>;
  remove(): Promise<void>;
}

const execute = promisify(execFile);
const ip = (words: string) => execute('ip', words.split(' '));

export async function openNetwork(): Promise<Network> {
  const own = process.pid % 60_000;
  const [name, here, there] = [`mha2mla-${own}`, `mh${own}a`, `mh${own}b`];
  const subnet = `10.${100 + (own >> 8)}.${own & 255}`;
  await ip(`netns add ${name}`);
  await ip(`link add ${here} type veth peer name ${there} netns ${name}`);
  await ip(`addr add ${subnet}.1/24 dev ${here}`);
  await ip(`link set ${here} up`);
  await ip(`-n ${name} addr add ${subnet}.2/24 dev ${there}`);
  await ip(`-n ${name} link set ${there} up`);
  return {
    host: `${subnet}.1`,
    command: ['ip', 'netns', 'exec', name],
    set: async (state) => void (await ip(`link set ${here} ${state}`)),
    remove: async () => void (await ip(`netns del ${name}`)),
  };
}
