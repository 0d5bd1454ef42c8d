/** What models take, from their headers. */
import type { Candidate } from '../model/choice';
import { showBytes, showShare } from '../words/amounts';
import { Problem } from './problem';

export function FactsOf({ candidates }: { candidates: readonly Candidate[] }) {
  return (
    <section class="facts" aria-label="What it takes">
      {candidates.map((candidate) => (
        <FactsOfOne key={candidate} {...candidate} />
      ))}
    </section>
  );
}

function FactsOfOne({ label, facts }: Candidate) {
  const known = facts.value;
  if (!known) return <p class="hint">{label}: reading its headers…</p>;
  if ('problem' in known) return <Problem {...known.problem} />;
  const { storedBytes, memoryBytes, cacheBytesPerToken, originalCacheBytesPerToken } =
    known.description;
  const { vision, text } = cacheBytesPerToken;
  const cached =
    vision === text ? showBytes(text) : `${showBytes(vision)} (picture), ${showBytes(text)}`;
  return (
    <div class="fact">
      <h2>{label}</h2>
      <dl>
        <div>
          <dt>Download</dt>
          <dd>{showBytes(storedBytes)}</dd>
        </div>
        <div>
          <dt>In memory</dt>
          <dd>{showBytes(memoryBytes)}</dd>
        </div>
        <div>
          <dt>Cache a token</dt>
          <dd>
            {cached}
            {text < originalCacheBytesPerToken && (
              <b class="saved">{showShare(text, originalCacheBytesPerToken)}</b>
            )}
          </dd>
        </div>
      </dl>
    </div>
  );
}
