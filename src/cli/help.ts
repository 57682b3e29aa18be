/** Examples at the end of a command's help, each a line without `trivium`. */
export const examples = (lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  $ trivium ${line}`).join('\n')}`

/** For an option that may be repeated. */
export const collect = (value: string, all: readonly string[]): string[] => [...all, value]
