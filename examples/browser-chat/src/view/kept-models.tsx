import { useEffect } from 'preact/hooks';
import {
  forget,
  free,
  keeping,
  keepNote,
  keepProblem,
  kept,
  refreshKept,
  resumeKept,
  stopKeeping,
  useKept as take,
} from '../model/kept';
import { showBytes } from '../words/amounts';
import { Problem } from './problem';

export function KeptModels() {
  useEffect(() => void refreshKept(), []);
  const now = keeping.value;
  return (
    <section class="kept" aria-labelledby="kept-title">
      <h2 id="kept-title">Kept in this browser</h2>
      {keepProblem.value && <Problem {...keepProblem.value} />}
      {now && (
        <div class="keeping">
          <progress
            max={1}
            value={now.total > 0 ? now.loaded / now.total : 0}
            aria-label="Keeping"
          />
          <p class="phase">
            <span>
              {now.phase === 'check' ? 'Checking' : 'Downloading'} {now.name}
            </span>
            <span class="figure">
              {showBytes(now.loaded)} of {showBytes(now.total)}
            </span>
          </p>
          <button type="button" onClick={stopKeeping}>
            Stop
          </button>
        </div>
      )}
      {kept.value.length > 0 && (
        <ul class="chosen">
          {kept.value.map((model) => (
            <li key={model.name}>
              <span>
                <strong>{model.name}</strong>{' '}
                <small>
                  {model.complete
                    ? showBytes(model.sizeBytes)
                    : `${showBytes(model.keptBytes)} of ${showBytes(model.sizeBytes)}`}
                  , {model.date.toLocaleDateString()}
                </small>
              </span>
              <span class="row">
                {model.complete ? (
                  <button
                    type="button"
                    aria-label={`Use ${model.name}`}
                    onClick={() => void take(model.name)}
                  >
                    Use
                  </button>
                ) : (
                  <button
                    type="button"
                    aria-label={`Go on with ${model.name}`}
                    disabled={now !== undefined}
                    onClick={() => void resumeKept(model)}
                  >
                    Go on
                  </button>
                )}
                <button
                  type="button"
                  aria-label={`Remove ${model.name}`}
                  onClick={() => void forget(model.name)}
                >
                  Remove
                </button>
              </span>
            </li>
          ))}
        </ul>
      )}
      <p class="hint">
        {keepNote.value || (kept.value.length === 0 && 'Nothing yet. ')}
        {free.value !== undefined && ` This page may keep ${showBytes(free.value)} more.`}
      </p>
    </section>
  );
}
