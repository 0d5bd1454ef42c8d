import type { Explained } from '../words/explain-error';

/** What went wrong, what to do, and what the library said. */
export function Problem({ title, advice, detail, reload }: Explained) {
  return (
    <div class="problem">
      <p>
        <strong>{title}</strong> {advice}
      </p>
      {reload && (
        <button type="button" onClick={() => location.reload()}>
          Reload the page
        </button>
      )}
      <details>
        <summary>What the program said</summary>
        <p class="said">{detail}</p>
      </details>
    </div>
  );
}
