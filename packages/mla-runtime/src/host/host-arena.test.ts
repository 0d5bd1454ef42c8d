import { expect, test } from 'vitest';
import { HostArena } from './host-arena';

const PAGE = 65536;

test('what is allocated keeps its values, apart from all else, while the memory grows', () => {
  const arena = new HostArena();
  const sizes = [1, 100, PAGE, 3, 5 * PAGE, 64];
  const places = sizes.map((bytes, i) => {
    const at = arena.allocate(bytes);
    new Uint8Array(arena.memory.buffer, at, bytes).fill(i + 1);
    return at;
  });
  for (const [i, at] of places.entries()) {
    expect(at % 64).toBe(0);
    const own = new Uint8Array(arena.memory.buffer, at, sizes[i]!);
    expect(own.every((value) => value === i + 1)).toBe(true);
  }
});

test('what is released is used again, whatever the order', () => {
  const arena = new HostArena();
  const places = [1, 2, 3, 4].map(() => arena.allocate(PAGE));
  const { byteLength } = arena.memory.buffer;
  for (const i of [2, 0, 3, 1]) arena.release(places[i]!);
  arena.release(places[0]!); // twice is once
  expect(arena.allocate(4 * PAGE)).toBe(places[0]);
  expect(arena.memory.buffer.byteLength).toBe(byteLength);
});

test('nothing has the address 0', () => {
  const arena = new HostArena();
  expect(arena.allocate(0)).toBe(0);
  expect(arena.allocate(4)).toBeGreaterThan(0);
});

test('beyond 4 GiB is refused, and what is there stays', () => {
  const arena = new HostArena();
  const at = arena.allocate(4);
  arena.values(at, 1)[0] = 7;
  expect(() => arena.allocate(2 ** 32)).toThrow(/must fit into 4 GiB .* got 4\.0 GiB\. Keep fewer/);
  expect(arena.values(at, 1)[0]).toBe(7);
  expect(arena.allocate(4)).toBeGreaterThan(at);
});

test('an idle arena is taken again, one in use is not', () => {
  const used = HostArena.take();
  used.allocate(4);
  const idle = HostArena.take();
  expect(idle).not.toBe(used);
  const at = idle.allocate(4);
  expect(HostArena.take()).not.toBe(idle);
  idle.release(at);
  expect(HostArena.take()).toBe(idle);
});
