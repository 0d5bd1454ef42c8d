import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createTerminal } from './terminal';
import { FakeStream } from './testing/fake-stream';
import { screenOf } from './testing/screen';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** One screen for both streams, as a terminal has it. */
function onTerminal(quiet = false) {
  let text = '';
  const collect = (stream: FakeStream) => () => {
    text += stream.text;
    stream.text = '';
  };
  const stdout: FakeStream = new FakeStream({ isTTY: true, onText: () => collect(stdout)() });
  const stderr: FakeStream = new FakeStream({ isTTY: true, onText: () => collect(stderr)() });
  const terminal = createTerminal({ stdout, stderr, quiet });
  return { terminal, screen: () => screenOf(text), raw: () => text };
}

function onPipes(quiet = false) {
  const [stdout, stderr] = [new FakeStream(), new FakeStream()];
  return { terminal: createTerminal({ stdout, stderr, quiet }), stdout, stderr };
}

const at = (loaded: number, phase = 'convert') => ({ phase, loaded, total: 4 });

describe('on a terminal', () => {
  test('a bar shows a phase, and goes with it', () => {
    const { terminal, screen } = onTerminal();
    terminal.progress(at(1));
    expect(screen().lines).toEqual([expect.stringMatching(/^convert .* 1\/4, \S+ left$/)]);
    terminal.progress(at(2));
    vi.advanceTimersByTime(200); // a bar is drawn ten times a second
    expect(screen().lines).toEqual([expect.stringMatching(/^convert .* 2\/4, \S+ left$/)]);
    terminal.end();
    expect(screen()).toEqual({ lines: [''], cursorShown: true });
  });

  test('a line never shares its line with the bar, nor with a result that was begun', () => {
    const { terminal, screen } = onTerminal();
    terminal.progress(at(1));
    terminal.log('one');
    expect(screen().lines).toEqual(['one', '']);
    terminal.progress(at(2));
    terminal.log('two');
    terminal.progress(at(3));
    terminal.write('an answer');
    expect(screen().lines).toEqual(['one', 'two', 'an answer']);
    terminal.log('three');
    terminal.progress(at(4));
    terminal.write('another');
    terminal.write('');
    terminal.end();
    expect(screen()).toEqual({
      lines: ['one', 'two', 'an answer', 'three', 'another', ''],
      cursorShown: true,
    });
  });

  test('the next phase takes the place of the one before, whose seconds are told', () => {
    const { terminal, screen } = onTerminal();
    terminal.progress(at(1, 'load'));
    vi.advanceTimersByTime(1234);
    terminal.progress(at(1, 'convert'));
    expect(screen().lines).toEqual([
      'load: 1.2 s',
      expect.stringMatching(/^convert .* 1\/4, \S+ left$/),
    ]);
    vi.advanceTimersByTime(999);
    terminal.end();
    expect(screen().lines).toEqual(['load: 1.2 s', '']);
  });

  test('a result ends the phase that led to it', () => {
    const { terminal, screen } = onTerminal();
    terminal.progress(at(1, 'prefill'));
    vi.advanceTimersByTime(2000);
    terminal.write('an');
    vi.advanceTimersByTime(2000);
    terminal.write(' answer');
    terminal.end();
    expect(screen().lines).toEqual(['prefill: 2.0 s', 'an answer', '']);
  });

  test('control characters of a line are escaped, and nothing has a colour', () => {
    const { terminal, raw } = onTerminal();
    terminal.progress(at(1));
    terminal.end();
    expect(raw().replaceAll('\u001b', '␛')).not.toMatch(/␛\[[\d;]*m/);
    const { terminal: other, raw: text } = onTerminal();
    other.log('a\u001b[2J\nb');
    expect(text()).toBe('a\\u{1b}[2J\\u{a}b\n');
  });

  test('quiet: no bar and no seconds, but what was asked for', () => {
    const { terminal, raw } = onTerminal(true);
    terminal.progress(at(1));
    vi.advanceTimersByTime(60_000);
    terminal.progress(at(2));
    terminal.end();
    expect(raw()).toBe('');
    terminal.log('statistics');
    expect(raw()).toBe('statistics\n');
  });
});

describe('elsewhere', () => {
  test('plain lines, at most one in five seconds', () => {
    const { terminal, stdout, stderr } = onPipes();
    for (let i = 0; i < 240; i++) {
      terminal.progress({ phase: 'convert', loaded: i, total: 240 });
      vi.advanceTimersByTime(50);
    }
    terminal.end();
    expect(stderr.text.split('\n')).toEqual([
      'convert: 100 of 240',
      'convert: 200 of 240',
      'convert: 12.0 s',
      '',
    ]);
    expect(stdout.text).toBe('');
  });

  test('a short phase is not spoken of', () => {
    const { terminal, stderr } = onPipes();
    terminal.progress(at(1));
    vi.advanceTimersByTime(900);
    terminal.progress(at(4));
    terminal.end();
    expect(stderr.text).toBe('');
  });

  test('quiet: nothing at all', () => {
    const { terminal, stderr } = onPipes(true);
    terminal.progress(at(1));
    vi.advanceTimersByTime(60_000);
    terminal.progress(at(2));
    terminal.end();
    expect(stderr.text).toBe('');
  });
});
