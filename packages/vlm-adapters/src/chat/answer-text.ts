import type { Processor } from '../model-inputs';
import { createStopTexts } from '../text/stop-texts';
import { createTokenStream } from '../text/token-stream';

/** Text of an answer's tokens, up to a stop text. */
export class AnswerText {
  whole = '';
  private readonly stream: ReturnType<typeof createTokenStream>;
  private readonly stops: ReturnType<typeof createStopTexts>;
  private isOpen = true;

  constructor(
    { tokenizer }: Processor,
    stop: readonly string[],
    private readonly emit: (text: string) => void,
  ) {
    this.stream = createTokenStream(tokenizer);
    this.stops = createStopTexts(stop);
  }

  /** @returns whether no stop text has come. */
  push(token: number): boolean {
    this.say(this.stream.push(token), false);
    return this.isOpen;
  }

  end(): void {
    if (this.isOpen) this.say(this.stream.flush(), true);
  }

  private say(piece: string, isLast: boolean): void {
    const { text, stopped } = this.stops.push(piece, isLast);
    this.whole += text;
    this.isOpen = !stopped;
    if (text !== '') this.emit(text);
  }
}
