/** Before anything is loaded: which model, where it runs, and what it takes. */
import { useEffect, useRef } from 'preact/hooks';
import { backend, candidates, tab } from '../model/choice';
import { load, problem } from '../model/panes';
import { roomFor } from '../model/room';
import { showBytes } from '../words/amounts';
import { FactsOf } from './facts';
import { OwnModels } from './own-models';
import { Problem } from './problem';
import { Settings } from './settings';
import { ShippedModels } from './shipped-models';

const TABS = [
  ['shipped', 'Small models'],
  ['own', 'Your own'],
] as const;

/** Focus that was on what is gone comes here, but for the page's beginning. */
let isAgain = false;

export function Setup() {
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (isAgain) title.current?.focus();
    isAgain = true;
  }, []);
  const chosen = candidates.value;
  const known = chosen.flatMap(({ facts }) =>
    facts.value && 'description' in facts.value ? [facts.value.description] : [],
  );
  const isReady = chosen.length > 0 && known.length === chosen.length;
  const room = isReady ? roomFor(known, backend.value) : undefined;
  const size = known.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
  return (
    <div class="setup">
      <h1 ref={title} tabIndex={-1}>
        Ask a picture.
      </h1>
      <p class="lead">
        Vision-language models, running in this page: what you show and ask never leaves your
        device. Converted by mha2mla, a model remembers a conversation in a quarter of the space.
        Put it beside the original and compare.
      </p>
      {problem.value && <Problem {...problem.value} />}
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady && room?.verdict !== 'no') void load();
        }}
      >
        <fieldset class="segments">
          <legend class="visually-hidden">Which models</legend>
          {TABS.map(([value, title]) => (
            <label key={value}>
              <input
                type="radio"
                name="tab"
                checked={tab.value === value}
                onChange={() => {
                  tab.value = value;
                }}
              />
              <span>{title}</span>
            </label>
          ))}
        </fieldset>
        {tab.value === 'shipped' ? <ShippedModels /> : <OwnModels />}
        <Settings />
        {tab.value === 'shipped' && <FactsOf candidates={chosen} />}
        <div class="go">
          <button type="submit" class="primary" disabled={!isReady || room?.verdict === 'no'}>
            {isReady ? `Load ${showBytes(size)} and start` : 'Load and start'}
          </button>
          <p class={`room room-${room?.verdict ?? 'fits'}`}>{room?.words}</p>
        </div>
      </form>
    </div>
  );
}
