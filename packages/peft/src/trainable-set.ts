/**
 * What of a model is trained: chosen by the rules of Hugging Face PEFT's `target_modules`, then
 * checked, since a wrong list silently trains or freezes layers.
 */
import type { TrainableParameter } from './trainable-parameter';

/**
 * Choose modules by name. A string is a regular expression that must match the whole name; of a list,
 * an entry matches a name that equals it or ends in "." + entry (in a vision tower too).
 * @returns the names that match, in their order.
 * @throws RangeError if the expression is not valid, or nothing matches.
 */
export function selectModules(
  names: readonly string[],
  targetModules: string | readonly string[],
): string[] {
  const matches =
    typeof targetModules === 'string' ? byPattern(targetModules) : byList(targetModules);
  const selected = names.filter(matches);
  if (selected.length === 0) {
    throw new RangeError(
      `selectModules: targetModules must match a module, got ${JSON.stringify(targetModules)} for ${names.length} names such as ${names.slice(0, 3).join(', ')}. A string must match whole names.`,
    );
  }
  return selected;
}

/**
 * Throw unless the parameters to be trained are exactly those expected, in any order.
 * @throws RangeError with up to five missing and five unexpected names.
 */
export function assertTrainable(
  expectedNames: readonly string[],
  actualNames: readonly string[],
): void {
  const actual = new Set(actualNames);
  const expected = new Set(expectedNames);
  const missing = [...expected].filter((name) => !actual.has(name));
  const unexpected = [...actual].filter((name) => !expected.has(name));
  if (missing.length === 0 && unexpected.length === 0) return;
  throw new RangeError(
    `assertTrainable: the trainable set must be the ${expected.size} expected parameters, got ${missing.length} missing (${firstFive(missing)}) and ${unexpected.length} unexpected (${firstFive(unexpected)}).`,
  );
}

/**
 * The share of a model that is trained.
 * @param totalParameters elements of the whole model, adapters included.
 * @returns trainable elements / totalParameters, 0 to 1.
 * @throws RangeError if totalParameters is smaller than what is trained.
 */
export function trainableShare(
  parameters: readonly TrainableParameter[],
  totalParameters: number,
): number {
  const trainable = parameters.reduce((sum, { variable }) => sum + variable.size, 0);
  if (!(totalParameters >= trainable && totalParameters > 0)) {
    throw new RangeError(
      `trainableShare: totalParameters must be at least the ${trainable} that are trained, got totalParameters=${totalParameters}. Count adapters in.`,
    );
  }
  return trainable / totalParameters;
}

function byPattern(pattern: string): (name: string) => boolean {
  let expression: RegExp;
  try {
    expression = new RegExp(`^(?:${pattern})$`);
  } catch (cause) {
    throw new RangeError(
      `selectModules: targetModules must be a regular expression, got ${JSON.stringify(pattern)}.`,
      { cause },
    );
  }
  return (name) => expression.test(name);
}

function byList(entries: readonly string[]): (name: string) => boolean {
  return (name) => entries.some((entry) => name === entry || name.endsWith(`.${entry}`));
}

function firstFive(names: string[]): string {
  if (names.length === 0) return 'none';
  return names.slice(0, 5).join(', ') + (names.length > 5 ? ', ...' : '');
}
