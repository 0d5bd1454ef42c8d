import { fileURLToPath } from 'node:url';

/** The path of a file that the repository carries, such as `fixtures/hf/llava/checkpoint`. */
export function fixture(path: string): string {
  return fileURLToPath(new URL(`../../../${path}`, import.meta.url));
}
