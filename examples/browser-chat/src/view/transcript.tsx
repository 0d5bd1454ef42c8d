import type { Signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { SAMPLES, sampleAddress } from '../model/catalog';
import { type Answer, type Turn, turns } from '../model/conversation';
import { asksAfresh, panes } from '../model/panes';
import { chooseSample } from '../model/pictures';
import { showRate, showSeconds } from '../words/amounts';
import { focusBox } from './composer';
import { Problem } from './problem';

export function Transcript() {
  const log = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const count = turns.value.length;
  useEffect(() => followEnd(log.current!, content.current!), []);
  useEffect(() => {
    if (count > 0) log.current!.scrollTop = log.current!.scrollHeight;
  }, [count]);
  return (
    <div
      class="transcript"
      role="log"
      aria-live="off"
      aria-label="Conversation"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
      tabIndex={0}
      ref={log}
    >
      <div ref={content}>
        {count === 0 && <Empty />}
        {turns.value.map((turn) => (
          <TurnOf key={turn} {...turn} />
        ))}
      </div>
    </div>
  );
}

/** Nearer to the end than this, a reader follows what is written. */
const NEAR_PX = 80;

/** Keep the end in view while text comes, unless the reader has scrolled up. */
function followEnd(log: HTMLElement, content: HTMLElement): () => void {
  let isNear = true;
  const onScroll = () => {
    isNear = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_PX;
  };
  log.addEventListener('scroll', onScroll, { passive: true });
  const observer = new ResizeObserver(() => {
    if (isNear && turns.peek().length > 0) log.scrollTop = log.scrollHeight;
  });
  observer.observe(content);
  observer.observe(log);
  return () => {
    observer.disconnect();
    log.removeEventListener('scroll', onScroll);
  };
}

function Empty() {
  return (
    <div class="empty">
      <h2>Show it a picture</h2>
      <p>
        {asksAfresh.value
          ? 'Take one of these. The small models know scenes of this kind and no others, and each question is asked afresh, with the picture that you showed last.'
          : 'Take one of these, or one of your own: choose it, drop it anywhere, paste it, or use the camera.'}
      </p>
      <ul class="samples">
        {SAMPLES.map((sample) => (
          <li key={sample.file}>
            <button
              type="button"
              aria-label={`Show ${sample.alt}`}
              onClick={() => {
                void chooseSample(sample).then(() => focusBox());
              }}
            >
              <img src={sampleAddress(sample)} alt="" width="84" height="84" />
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

function TurnOf({ question, pictures, answers }: Turn) {
  return (
    <article class="turn">
      <div class="question">
        <span class="visually-hidden">You asked: </span>
        {pictures.length > 0 && (
          <div class="shown">
            {pictures.map(({ url, alt }) => (
              <img key={url} src={url} alt={alt} />
            ))}
          </div>
        )}
        <p>{question}</p>
      </div>
      <div class={answers.length > 1 ? 'answers answers-two' : 'answers'}>
        {answers.map((answer, index) => (
          <AnswerOf key={answer} answer={answer} index={index} />
        ))}
      </div>
    </article>
  );
}

function AnswerOf({ answer, index }: { answer: Signal<Answer>; index: number }) {
  const { status, text, outputTokens, timeToFirstTokenMs, tokensPerSecond, problem } = answer.value;
  const pane = panes.value[index];
  const isConverted = pane?.description.isConverted ?? false;
  return (
    <section class={`answer answer-${status} ${isConverted ? 'answer-converted' : ''}`}>
      <h2>{pane?.label}</h2>
      {problem ? (
        <Problem {...problem} />
      ) : (
        <p class="text">
          {text.trimStart()}
          {status === 'running' && <span class="caret" aria-hidden="true" />}
          {status === 'waiting' && <span class="hint">Waits for its turn</span>}
          {status === 'done' && text.trim() === '' && <span class="hint">No text</span>}
        </p>
      )}
      {outputTokens > 0 && (
        <p class="stats">
          {[
            outputTokens === 1 ? '1 token' : `${outputTokens} tokens`,
            showRate(tokensPerSecond),
            timeToFirstTokenMs !== undefined && `first after ${showSeconds(timeToFirstTokenMs)}`,
            status === 'stopped' && 'stopped',
            status === 'cut' && 'cut at the limit',
          ]
            .filter(Boolean)
            .join(' · ')}
        </p>
      )}
    </section>
  );
}
