/** The command line of this process, with `--resume`: what goes on with an interrupted run. */
export function resumeCommand(argv: readonly string[] = process.argv.slice(2)): string {
  const words = argv.includes('--resume') ? argv : [...argv, '--resume'];
  return ['mha2mla', ...words].map(shellWord).join(' ');
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
