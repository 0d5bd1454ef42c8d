/** Edits of a parsed JSON document that keep it JSON: hostile values, lost, double and moved keys. */
import fc from 'fast-check';

export interface JsonEdit {
  kind: 'replace' | 'scale' | 'remove' | 'double' | 'move' | 'wrap';
  /** Which child to take at each level, modulo; the last one is edited. */
  path: number[];
  /** Of the value that is moved. */
  from: number[];
  value: unknown;
  factor: number;
}

/** Spelt in text, since a parsed document cannot hold them. */
const RAW = ['1e999', '-1e999', '-0', '1e-400', '12345678901234567890'];
const RAW_MARK = '@@raw:';
const DOUBLE_MARK = '@@double@@';

const HOSTILE: unknown[] = [
  ...[0, -1, 1, 1.5, 2, 7, 255, 4096, 16_384, 65_536, 2 ** 31, 2 ** 32, 2 ** 53, 1e308],
  ...RAW.map((text) => RAW_MARK + text),
  ...['', '__proto__', 'constructor', 'NaN', 'Infinity', 'null', '\ud800', '\u0000', '../x', 'a b'],
  ...['\u001b]0;owned\u0007', '\u009b2J', '\u202egnp.exe', 'a\n\u2028b'],
  ...['a'.repeat(5000), '{{ x }}', '(a+)+$', null, true, false, [], {}, [[]], [null], ['a'], [0]],
  ...[JSON.parse('{"__proto__": {"type": "BPE"}}'), { length: 2 ** 32 }, { type: 'Sequence' }],
  ...[new Array(20_000).fill(0), nested(50), nested(100)],
];

const edit: fc.Arbitrary<JsonEdit> = fc.record({
  kind: fc.constantFrom(
    'replace',
    'replace',
    'replace',
    'scale',
    'remove',
    'double',
    'move',
    'wrap',
  ),
  path: fc.array(fc.nat(), { minLength: 1, maxLength: 6 }),
  from: fc.array(fc.nat(), { minLength: 1, maxLength: 6 }),
  value: fc.oneof(fc.constantFrom(...HOSTILE), fc.jsonValue({ maxDepth: 2 })),
  factor: fc.constantFrom(-1, 0.5, 1.001, 2, 3, 1000, 1e9),
});

/** Mostly one edit, at most three: a document of many faults is refused at the first of them. */
export const jsonEdits: fc.Arbitrary<JsonEdit[]> = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(edit) },
  { weight: 1, arbitrary: fc.array(edit, { minLength: 2, maxLength: 3 }) },
);

/** The edited document's text; the document itself stays as it is. */
export function editJson(document: unknown, edits: readonly JsonEdit[]): string {
  const copy = structuredClone(document);
  for (const edit of edits) editOnce(copy, edit);
  return JSON.stringify(copy)
    .replaceAll(new RegExp(`"${RAW_MARK}([^"]*)"`, 'g'), '$1')
    .replaceAll(DOUBLE_MARK, '');
}

type Container = Record<string, unknown>;

function editOnce(document: unknown, { kind, path, from, factor, ...edit }: JsonEdit): void {
  const place = find(document, path);
  if (place === undefined) return;
  const value = structuredClone(edit.value); // later edits may change it
  const { parent, key } = place;
  const old = parent[key];
  if (kind === 'remove') {
    if (Array.isArray(parent)) parent.splice(Number(key), 1);
    else delete parent[key];
  } else if (kind === 'double' && Array.isArray(parent)) {
    parent.splice(Number(key), 0, structuredClone(old));
  } else if (kind === 'double') {
    set(parent, key + DOUBLE_MARK, value);
  } else if (kind === 'move') {
    const source = find(document, from);
    set(parent, key, source && structuredClone(source.parent[source.key]));
  } else if (kind === 'scale' && typeof old === 'number') {
    set(parent, key, old * factor);
  } else {
    set(parent, key, kind === 'wrap' ? [old] : value);
  }
}

/** Walk down; ends early where there is nothing below. */
function find(document: unknown, path: readonly number[]) {
  let place: { parent: Container; key: string } | undefined;
  let value = document;
  for (const step of path) {
    const keys = typeof value === 'object' && value !== null ? Object.keys(value) : [];
    if (keys.length === 0) break;
    place = { parent: value as Container, key: keys[step % keys.length]! };
    value = place.parent[place.key];
  }
  return place;
}

function set(parent: Container, key: string, value: unknown): void {
  Object.defineProperty(parent, key, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  });
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 ? [value] : { type: 'Sequence', a: value };
  return value;
}
