/** What the conversation takes in each model's cache, and how fast it answers. */
import type { CachedTokens } from '@mha2mla/vlm-adapters';
import { turns } from '../model/conversation';
import { type Pane, panes } from '../model/panes';
import { showBytes, showRate, showShare } from '../words/amounts';

interface Row {
  label: string;
  isConverted: boolean;
  bytes: number;
  rate: string;
}

const NONE: CachedTokens = { vision: 0, text: 0 };

export function Meter() {
  const rows = panes.value.flatMap((pane, index) => rowsOf(pane, index));
  const most = Math.max(1, ...rows.map(({ bytes }) => bytes));
  const tokens = panes.value.map((_, index) => heldBy(index));
  const held = Math.max(0, ...tokens.map(({ vision, text }) => vision + text));
  const window = panes.value[0]?.model.contextWindow ?? 0;
  return (
    <section class="meter" aria-label="Cache and speed">
      <p class="meter-title">
        <span>Cache</span>
        <span>
          {held} of {window.toLocaleString('en')} tokens
        </span>
      </p>
      {rows.map(({ label, isConverted, bytes, rate }) => (
        <div key={label} class={isConverted ? 'gauge gauge-converted' : 'gauge'}>
          <span class="gauge-label">{label}</span>
          <span class="track" aria-hidden="true">
            <span class="fill" style={{ width: `${(100 * bytes) / most}%` }} />
          </span>
          <span class="figure">
            {showBytes(bytes)}
            {isConverted && bytes > 0 && <b class="saved">{showShare(bytes, most)}</b>}
          </span>
          <span class="rate">{rate}</span>
        </div>
      ))}
    </section>
  );
}

function heldBy(index: number): CachedTokens {
  const answers = turns.value.map(({ answers: own }) => own[index]?.value.cachedTokens);
  return answers.filter((held) => held !== undefined).at(-1) ?? NONE;
}

function rowsOf({ label, description }: Pane, index: number): Row[] {
  const { vision, text } = heldBy(index);
  const { cacheBytesPerToken, isConverted, originalCacheBytesPerToken } = description;
  const bytes = vision * cacheBytesPerToken.vision + text * cacheBytesPerToken.text;
  const said = turns.value.map(({ answers }) => answers[index]!.value);
  const last = said.filter(({ outputTokens }) => outputTokens > 0).at(-1);
  const rate = showRate(last?.tokensPerSecond ?? 0);
  const own = { label, isConverted, bytes, rate };
  if (!isConverted || panes.value.length > 1) return [own];
  const before = (vision + text) * originalCacheBytesPerToken;
  return [{ label: 'Original would take', isConverted: false, bytes: before, rate: '' }, own];
}
