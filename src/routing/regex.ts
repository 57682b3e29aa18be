import { RE2JS } from 're2js'

const maxPatternLength = 1_000
const maxInputLength = 65_536
const maxProgramSize = 1_000 // repetitions of repetitions: what each character of the text may cost

/** Whether a text holds a match; undefined when the text is longer than what is searched. */
export type Search = (text: string) => boolean | undefined

/** A regular expression searched in linear time, without anchors of its own, as CEL has it. Throws Error with the reason. */
export function compileRegex(pattern: string): Search {
  if (pattern.length > maxPatternLength) throw new Error(`the pattern is longer than ${maxPatternLength} characters`)
  const regex = compile(pattern)
  if (regex.programSize() > maxProgramSize) throw new Error('the pattern repeats too much')
  return (text) => (text.length > maxInputLength ? undefined : regex.test(text))
}

function compile(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`not a regular expression: ${reason.replace(/^error parsing regexp: /, '')}`, { cause })
  }
}
