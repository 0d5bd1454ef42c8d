import { useEffect, useRef } from 'preact/hooks';
import { cancelLoading, type Loading } from '../model/panes';

export function LoadingBar({ share, phase }: Loading) {
  const cancel = useRef<HTMLButtonElement>(null);
  useEffect(() => cancel.current?.focus(), []);
  return (
    <section class="loading" aria-labelledby="loading-title">
      <h1 id="loading-title">Loading</h1>
      <progress max={1} value={share} aria-labelledby="loading-title" />
      <p class="phase">
        <span>{phase}</span>
        <span class="figure">{Math.floor(100 * share)} %</span>
      </p>
      <button type="button" ref={cancel} onClick={cancelLoading}>
        Cancel
      </button>
    </section>
  );
}
