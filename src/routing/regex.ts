import { RE2JS } from 're2js'
import { charge, chargeTime, exhausted } from './meter.ts'

const maxPatternLength = 1_000
const maxProgramSize = 1_000 // repetitions of repetitions: what each character of the text may cost

/**
 * The longest text that is searched, so that one search ends within 50 ms where each character leads to a new state of the
 * automaton: 64 KiB, for a pattern of more instructions less.
 */
const maxInputLength = 65_536
const smallProgram = 20
const maxWork = 750_000

/** Characters times instructions that are too few to take the time. */
const littleWork = 500

/** Whether a text holds a match. Throws `exhausted` where the text is too long for the pattern. */
export type Search = (text: string) => boolean

/** A regular expression searched in linear time, without anchors of its own, as CEL has it. Throws Error with the reason. */
export function compileRegex(pattern: string): Search {
  if (pattern.length > maxPatternLength) throw new Error(`the pattern is longer than ${maxPatternLength} characters`)
  const regex = compile(pattern)
  const size = regex.programSize()
  if (size > maxProgramSize) throw new Error('the pattern repeats too much')
  const maxLength = size <= smallProgram ? maxInputLength : Math.floor(maxWork / size)
  return (text) => {
    if (text.length > maxLength) throw exhausted
    const work = text.length * size
    if (work > littleWork) return chargeTime(() => regex.test(text))
    charge(work >> 2)
    return regex.test(text)
  }
}

function compile(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`not a regular expression: ${reason.replace(/^error parsing regexp: /, '')}`, { cause })
  }
}
