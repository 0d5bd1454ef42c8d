import { Option } from 'commander';
import { CONVERT_CHOICES } from '../convert/convert-options';
import { flagName } from './flag-name';

/**
 * An option of a conversion that is one of a few words.
 * @param value what stands for the word in the help, such as `form`.
 */
export function convertChoice(
  name: keyof typeof CONVERT_CHOICES,
  value: string,
  description: string,
): Option {
  return new Option(`${flagName(name)} <${value}>`, description).choices(CONVERT_CHOICES[name]);
}
