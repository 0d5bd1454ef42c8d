/** The conversation: what is held of it, what was said, and the box to ask in. */
import { useEffect } from 'preact/hooks';
import { isAnswering, newChat, notice, stop } from '../model/conversation';
import { panes, unload } from '../model/panes';
import { addPictures } from '../model/pictures';
import { Composer, focusBox } from './composer';
import { Meter } from './meter';
import { Transcript } from './transcript';

const BACKENDS = {
  webgpu: 'WebGPU',
  wasm: 'WebAssembly',
  cpu: 'JavaScript',
  tensorflow: 'TensorFlow',
};

export function Chat() {
  useEffect(() => focusBox({ withKeyboard: false }), []);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === 'Escape' && isAnswering.value) stop();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  const [first] = panes.value;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is one more way, the buttons do the same
    <div
      class="chat"
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        addPictures(event.dataTransfer?.files ?? []);
      }}
    >
      <div class="bar">
        <h1 class="visually-hidden">Ask a picture</h1>
        <Meter />
        <div class="actions">
          <span class="backend">{first && BACKENDS[first.model.backend]}</span>
          <button
            type="button"
            onClick={() => {
              void newChat().then(() => focusBox());
            }}
          >
            New chat
          </button>
          <button
            type="button"
            onClick={() => {
              void newChat().then(unload);
            }}
          >
            Change model
          </button>
        </div>
      </div>
      {notice.value && <p class="notice">{notice.value}</p>}
      <Transcript />
      <Composer />
    </div>
  );
}
