/** A command line that a person can paste into a shell. */
export function commandLine(words: readonly string[]): string {
  return ['mha2mla', ...words].map(shellWord).join(' ');
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
