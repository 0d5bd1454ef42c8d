/** The box to ask in: pictures, text, and the questions that a small model knows. */
import { useRef, useState } from 'preact/hooks';
import { QUESTIONS } from '../model/catalog';
import { ask, isAnswering, lastPictures, stop, turns } from '../model/conversation';
import { asksAfresh } from '../model/panes';
import { addPictures, clearDraft, drafted, removeDrafted, takeDrafted } from '../model/pictures';
import { Camera } from './camera';

const BOX = 'question';

/** Where focus stays; where it would bring up a keyboard on the screen unasked, on the transcript. */
export function focusBox({ withKeyboard = true } = {}): void {
  const onBox = withKeyboard || matchMedia('(pointer: fine)').matches;
  document.querySelector<HTMLElement>(onBox ? `#${BOX}` : '[role=log]')?.focus();
}

export function Composer() {
  const [text, setText] = useState('');
  const [isCamera, setCamera] = useState(false);
  const files = useRef<HTMLInputElement>(null);
  const pictures = drafted.value;
  const send = (question: string) => {
    if (question.trim() === '' || isAnswering.value) return;
    setText('');
    void ask(question.trim(), takeDrafted());
    focusBox();
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send(text);
      }}
      onPaste={(event) => addPictures(imagesOf(event.clipboardData?.files))}
    >
      {isCamera && (
        <Camera
          onClose={() => {
            setCamera(false);
            focusBox();
          }}
        />
      )}
      <Suggestions onAsk={send} />
      <div class="box">
        {pictures.length > 0 && (
          <ul class="drafted" aria-label="Pictures of the question">
            {pictures.map((picture) => (
              <li key={picture.url}>
                <img src={picture.url} alt={picture.alt} />
                <button
                  type="button"
                  aria-label={`Take away ${picture.alt}`}
                  onClick={() => {
                    removeDrafted(picture);
                    focusBox();
                  }}
                >
                  ×
                </button>
              </li>
            ))}
          </ul>
        )}
        <label class="visually-hidden" for={BOX}>
          Your question
        </label>
        <textarea
          id={BOX}
          rows={1}
          placeholder="Ask about the picture"
          value={text}
          onInput={({ currentTarget }) => setText(currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            send(text);
          }}
        />
        <div class="tools">
          <button type="button" onClick={() => files.current?.click()}>
            Picture…
          </button>
          <input
            ref={files}
            type="file"
            accept="image/*"
            multiple
            class="visually-hidden"
            tabIndex={-1}
            aria-hidden="true"
            onChange={({ currentTarget }) => {
              addPictures(currentTarget.files ?? []);
              currentTarget.value = '';
              focusBox();
            }}
          />
          <button type="button" aria-expanded={isCamera} onClick={() => setCamera(!isCamera)}>
            Camera
          </button>
          {(text !== '' || pictures.length > 0) && (
            <button
              type="button"
              onClick={() => {
                setText('');
                clearDraft();
                focusBox();
              }}
            >
              Clear
            </button>
          )}
          {isAnswering.value ? (
            <button type="button" class="primary" onClick={stop}>
              Stop <kbd>Esc</kbd>
            </button>
          ) : (
            <button type="submit" class="primary" disabled={text.trim() === ''}>
              Ask
            </button>
          )}
        </div>
      </div>
    </form>
  );
}

/** One click each; what a small model was trained on. */
function Suggestions({ onAsk }: { onAsk: (question: string) => void }) {
  const shown = drafted.value[0] ?? lastPictures(turns.value)[0];
  if (!asksAfresh.value || !shown) return null;
  const questions = shown.sample?.questions ?? QUESTIONS;
  return (
    <ul class="suggestions" aria-label="Questions to try">
      {questions.map((question) => (
        <li key={question}>
          <button type="button" disabled={isAnswering.value} onClick={() => onAsk(question)}>
            {question}
          </button>
        </li>
      ))}
    </ul>
  );
}

function imagesOf(files: FileList | undefined): File[] {
  return [...(files ?? [])].filter(({ type }) => type.startsWith('image/'));
}
