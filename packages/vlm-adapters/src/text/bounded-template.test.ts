import { describe, expect, test, vi } from 'vitest';
import { boundedTemplate } from './bounded-template';

const run = (source: string) => boundedTemplate(source)({});
const loop = (length: number, body: string) => `{% for a in range(${length}) %}${body}{% endfor %}`;
/** A text of half a million characters, by doubling. */
const long = `{% set n = namespace(x='a') %}${loop(19, '{% set n.x = n.x ~ n.x %}')}`;
const list = '{% set l = range(9999) %}';

describe('a template is a program that comes to an end', () => {
  // 500 ms and one operation; the rest is for a machine that is busy.
  test.each([
    ['empty loops', loop(9999, loop(9999, ''))],
    ['loops', loop(9999, loop(9999, 'x'))],
    ['loops that find nothing', loop(9999, '{% for b in range(9999) if b < 0 %}{% endfor %}')],
    ['loops that break', loop(9999, '{% for b in range(9999) %}{% break %}{% endfor %}')],
    ['macros', loop(9999, `{% macro f() %}${'{{ 1 + 1 }}'.repeat(20_000)}{% endmacro %}`)],
    [
      'recursion',
      '{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}',
    ],
    ['sorting', list + loop(9999, '{% set m = l|sort %}')],
    ['printing lists', list + loop(9999, '{% set x %}{{ l }}{% endset %}')],
    ['slices', long + loop(9999, '{% set m = n.x[::-1] %}')],
    ['searches', long + loop(9999, `{% set m = '${'a'.repeat(64)}b${'a'.repeat(63)}' in n.x %}`)],
  ])('%s', { timeout: 10_000 }, (_, source) => {
    expect(() => run(source)).toThrow(/must end within 500 ms/);
  });

  test('the time that other processes took does not count', () => {
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => {
      now += 100;
      return now;
    });
    try {
      expect(run(loop(20, 'x'))).toBe('x'.repeat(20));
    } finally {
      vi.restoreAllMocks();
    }
  });

  test('where it is not told, that of a process that was stopped does not count, a few times', () => {
    // @ts-expect-error as in a browser.
    vi.spyOn(process, 'cpuUsage').mockReturnValue(undefined);
    let [now, reads] = [0, 0];
    const sleepAt = (...at: number[]) => {
      [now, reads] = [0, 0];
      vi.spyOn(performance, 'now').mockImplementation(() => {
        now += at.includes(reads++) ? 60_000 : 0.01;
        return now;
      });
      return () => run(loop(20, 'x'));
    };
    try {
      expect(sleepAt(5)()).toBe('x'.repeat(20));
      expect(sleepAt(5, 9, 12)()).toBe('x'.repeat(20));
      expect(sleepAt(5, 9, 12, 15)).toThrow('must end within 500 ms');
    } finally {
      vi.restoreAllMocks();
    }
  });

  const characters = /at most 1048576 characters/;
  const argument = /by at most 128 characters/;
  const needle = "n.x[:9999] ~ 'b' ~ n.x[:9999]";
  test.each([
    ['text by doubling', `${long}{{ n.x ~ n.x ~ n.x }}`, characters],
    ['lists by doubling', `${list}{% set m = l + l %}`, /lists of at most 10000 values, got 19998/],
    ['lists of lists', nested('[n.x, n.x]', 60), characters],
    ['dicts of dicts', nested("{'a': n.x, 'b': n.x}", 60), characters],
    ['depth', nested('[n.x]', 9999), characters],
    ['cycles', '{% set n = namespace() %}{% set n.x = n %}{{ n }}', /namespaces out of lists/],
    ['ranges', loop(1_000_000_000, ''), /at most 10000 values, got 1000000000/],
    ['ranges without end', '{{ range(0, 5, 0) }}', /at most 10000 values, got Infinity/],
    ['text by multiplying', "{{ 'a' * 100000000 }}", /Unknown operator/],
    ['text by replacing', `${long}{{ n.x|replace('a', '${'b'.repeat(128)}') }}`, characters],
    ['long replacements', `${long}{{ n.x.replace('a', n.x) }}`, argument],
    ['long separators', `${long}${list}{{ l|join(n.x) }}`, argument],
    ['wide margins', "{{ 'a'|indent(500000000) }}", argument],
    ['wide margins of lists', '{{ [[1]]|tojson(indent=500000000) }}', argument],
    ['searches for long texts', `${long}{{ (${needle}) in n.x }}`, argument],
    ['splits at long texts', `${long}{{ n.x.split(*[${needle}]) }}`, argument],
    ['methods kept', `${long}{% set f = n.x.split %}{{ f(${needle}) }}`, /call methods/],
    ['size', 'x'.repeat(300_000), /at most 262144 characters, got 300000/],
    ['blanks', `a${' '.repeat(257)}b`, /at most 256 blanks in a row/],
    ['parentheses', `{{ ${'('.repeat(100_000)}${')'.repeat(100_000)} }}`, RangeError],
  ])('%s: refused', { timeout: 10_000 }, (_, source, message) => {
    expect(() => run(source)).toThrow(message);
  });

  function nested(value: string, times: number) {
    return `{% set n = namespace(x=[1]) %}${loop(times, `{% set n.x = ${value} %}`)}{{ n.x }}`;
  }
});

test('what conversations need is left alone', () => {
  const x = 'a word '.repeat(50_000);
  const render = (source: string, value: unknown = x) => boundedTemplate(source)({ x: value });
  expect(render("{{ '<s>' + x + '</s>' }}")).toBe(`<s>${x}</s>`);
  expect(render("{{ x in ['', none] }} {{ 'word' in x }} {{ x.split('</think>')|length }}")).toBe(
    'false true 1',
  );
  const turns = Array.from({ length: 100 }, () => ({
    role: 'user',
    content: 'hello '.repeat(100),
  }));
  const text = render(
    '{% for m in x %}{% if x[loop.index0].role == m.role and loop.index0 <= x|length %}{{ m.content }}{% endif %}{% endfor %}',
    turns,
  );
  expect(text).toBe('hello '.repeat(10_000));
});

test('a template reports its own errors, and misses the time of day', () => {
  expect(() => run("{{ raise_exception('no system turn') }}")).toThrow(
    'the template says: no system turn',
  );
  expect(run('{{ strftime_now is defined }} {{ range(3) }} {{ range(5, 1, -2) }}')).toBe(
    'false [0, 1, 2] [5, 3]',
  );
});

test.each([
  ['{% endfor %}', 'Unknown statement type'],
  ['{{ 1 + missing }}', 'Cannot perform operation'],
  ['{{ missing() }}', ''],
  ['{% if %}', ''],
  ["{{ 'a'", ''],
])('%s is refused in our words, with those of the library', (source, words) => {
  expect(() => run(source)).toThrow(RangeError);
  expect(() => run(source)).toThrow(
    `chatTemplate: a template must be Jinja that runs, got: ${words}`,
  );
});

test('what a template says cannot drive a terminal', () => {
  expect(() => run("{{ raise_exception('\u001b]0;x\u0007\u202e') }}")).toThrow(
    'the template says: \\u001b]0;x\\u0007\\u202e',
  );
});
