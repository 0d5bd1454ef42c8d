/** Options of a conversion that must agree with one another. */
import { fitsLatents } from '@mha2mla/mla-runtime';
import type { ConversionPlan, ConvertOptions } from './convert-options';

/** What a search can choose among, and what is not yet chosen. */
export function checkSearch(
  { kvBudget, cache, hadamard, layout }: ConvertOptions,
  factor: ConversionPlan['factor'],
): void {
  const wrong = unmet({
    kvBudget: kvBudget !== undefined,
    'no kvBits, which it chooses': cache?.kvBits === undefined && cache?.layers === undefined,
    'factor joint': factor === 'joint',
    'no hadamard': hadamard === undefined,
    'a kvMethod that fits nothing': !fitsLatents(cache ?? {}),
    'layout extended': layout !== 'reference',
  });
  if (wrong === '') return;
  throw new RangeError(`planConversion: spend auto needs ${wrong}.`);
}

/** What has no key in the reference's config would be lost without a word. */
export function checkReference({ groups, rank, cache, ...plan }: ConversionPlan): void {
  const { videoAsText, decouple, factor, allocation } = plan;
  const wrong = unmet({
    'one rank for all latents': rank !== undefined && allocation === 'uniform',
    'groups=1': groups === 1,
    'no cache bits': Object.keys(cache).length === 0,
    'videoAsText=true': videoAsText,
    'decouple=true': decouple || factor === 'none',
  });
  if (wrong === '') return;
  throw new RangeError(
    `planConversion: layout reference needs ${wrong}. Its Python code knows nothing else.`,
  );
}

/** A model that is stored with bits that it cannot have would not be loaded. */
export function checkCacheBits({ decouple, factor, cache: { kvBits } }: ConversionPlan): void {
  if (typeof kvBits !== 'object' || kvBits.vision === kvBits.text) return;
  if (decouple && factor !== 'none') return;
  throw new RangeError(
    `planConversion: kvBits must be one number where both modalities share a latent, got vision=${kvBits.vision}, text=${kvBits.text}.`,
  );
}

/** Scales are fitted to the latents that the converted model will have, on the way to the next layer. */
export function checkFitted({
  factor,
  propagate,
  hadamard,
  cache: { kvMethod },
}: ConversionPlan): void {
  const wrong = unmet({
    'factor joint': factor === 'joint',
    'propagate converted': propagate === 'converted',
    // Turned channels are of one size, and no band could be told from the next.
    'no hadamard': kvMethod === 'static' || hadamard === undefined,
  });
  if (wrong === '') return;
  throw new RangeError(
    `planConversion: kvMethod ${kvMethod} needs ${wrong}, got factor=${factor}, propagate=${propagate}, hadamard=${hadamard}.`,
  );
}

/** What does not hold of what must, as errors list it. */
function unmet(needs: Readonly<Record<string, boolean>>): string {
  const wrong = Object.entries(needs).filter(([, holds]) => !holds);
  return wrong.map(([must]) => must).join(', ');
}
