/** A command line that a person can paste into a shell. */
export function commandLine(words: readonly string[]): string {
  return ['mha2mla', ...words].map((word) => shellWord(withoutSecrets(word))).join(' ');
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A URL without user and password: what is printed may be kept. */
function withoutSecrets(word: string): string {
  return word.replace(/^(--\w+=)?(\w+:\/\/)[^/@]*@/, '$1$2…@');
}
