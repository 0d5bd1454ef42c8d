import { Writable } from 'node:stream';

/** A stream that keeps what is written, as a pipe or as a terminal. */
export class FakeStream extends Writable {
  text = '';
  readonly isTTY: boolean;

  /** @param onText called after each write. */
  constructor({ isTTY = false, onText }: { isTTY?: boolean; onText?: () => void } = {}) {
    super({
      decodeStrings: false,
      write: (chunk, _, done) => {
        this.text += chunk;
        onText?.();
        done();
      },
    });
    this.isTTY = isTTY;
  }
}
