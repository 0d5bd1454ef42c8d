/** Models from a folder on disk, or from an address: two of them stand side by side. */

import { useRef, useState } from 'preact/hooks';
import { addOwn, type Candidate, MOST_CANDIDATES, own, removeOwn } from '../model/choice';
import {
  directoryPicker,
  type Folder,
  filesOfDrop,
  filesOfInput,
  pickFolder,
} from '../model/choose-folder';
import { KEPT, keep, keeping } from '../model/kept';
import { FactsOf } from './facts';
import { KeptModels } from './kept-models';

/** One whose headers were read, and that is not kept yet. */
function isKeepable({ place, facts }: Candidate): boolean {
  const known = facts.value;
  return place !== KEPT && known !== undefined && 'description' in known;
}

function addFolder(folder: Folder | undefined): void {
  if (folder) addOwn(folder.name, 'from disk', folder.files);
}

export function OwnModels() {
  const input = useRef<HTMLInputElement>(null);
  const [address, setAddress] = useState('');
  const [isOver, setOver] = useState(false);
  return (
    <div class="own">
      <p class="hint">
        A folder as Hugging Face has it: config.json, tokenizer and *.safetensors of LLaVA-1.5,
        LLaVA-NeXT or Qwen2.5-VL, original or converted. Add two to compare them.
      </p>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: dropping is one more way, the button does the same */}
      <div
        class={isOver ? 'drop drop-over' : 'drop'}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          if (event.dataTransfer) void filesOfDrop(event.dataTransfer).then(addFolder);
        }}
      >
        <button
          type="button"
          onClick={() => {
            if (directoryPicker()) void pickFolder().then(addFolder);
            else input.current?.click();
          }}
        >
          Choose a folder…
        </button>
        <span>or drop one here. It is read where it lies, not copied.</span>
        <input
          ref={input}
          type="file"
          class="visually-hidden"
          tabIndex={-1}
          aria-hidden="true"
          multiple
          {...{ webkitdirectory: true }}
          onChange={({ currentTarget }) => {
            if (currentTarget.files?.length) addFolder(filesOfInput(currentTarget.files));
            currentTarget.value = '';
          }}
        />
      </div>
      <div class="address">
        <label for="address">Address of a folder</label>
        <div class="row">
          <input
            id="address"
            type="url"
            placeholder="https://example.org/models/llava-1.5-7b-mla/"
            value={address}
            onInput={({ currentTarget }) => setAddress(currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key !== 'Enter') return;
              event.preventDefault();
              addAddress();
            }}
          />
          <button type="button" onClick={addAddress} disabled={address.trim() === ''}>
            Add
          </button>
        </div>
      </div>
      {own.value.length > 0 && (
        <ul class="chosen" aria-label={`Chosen, at most ${MOST_CANDIDATES}`}>
          {own.value.map((candidate) => (
            <li key={candidate}>
              <span>
                <strong>{candidate.label}</strong> <small>{candidate.place}</small>
              </span>
              <span class="row">
                {isKeepable(candidate) && (
                  <button
                    type="button"
                    aria-label={`Keep ${candidate.label} in this browser`}
                    disabled={keeping.value !== undefined}
                    onClick={() => void keep(candidate)}
                  >
                    Keep
                  </button>
                )}
                <button
                  type="button"
                  aria-label={`Leave out ${candidate.label}`}
                  onClick={() => removeOwn(candidate)}
                >
                  Leave out
                </button>
              </span>
            </li>
          ))}
        </ul>
      )}
      {own.value.length > 0 && <FactsOf candidates={own.value} />}
      <KeptModels />
    </div>
  );

  function addAddress(): void {
    const given = address.trim();
    if (given === '') return;
    const name = given.replace(/\/+$/, '').split('/').at(-1) || given;
    addOwn(name, 'from an address', given);
    setAddress('');
  }
}
