import type { HeaderValue } from '../../envelope/envelope.ts'
import { PermanentError } from '../../errors.ts'
import { compileCondition } from '../../routing/expression.ts'
import { limits } from '../../routing/meter.ts'
import { RuleError } from '../../routing/rule-error.ts'
import type { StoredDeadLetter } from '../../store/contract.ts'

/** What a condition can say of a dead letter besides its message. */
const facts = {
  id: (letter) => letter.id,
  route: (letter) => letter.route,
  reason: (letter) => letter.reason,
  error: (letter) => `${letter.error.code}: ${letter.error.message}`,
  code: (letter) => letter.error.code,
  attempts: (letter) => letter.attempts,
  requeues: (letter) => letter.requeues,
  target: (letter) => letter.target ?? '',
} satisfies Readonly<Record<string, (letter: StoredDeadLetter) => HeaderValue>>

const carrier = 'trivium-dead-letter' // the header in which the facts stand while a condition looks at a letter
const prefix = Object.keys(facts)
  .map((name) => `cel.bind(${name}, headers['${carrier}'].${name}, `)
  .join('')
const suffix = `\n${')'.repeat(Object.keys(facts).length)}` // behind a line's end, so that a comment cannot swallow it

/**
 * Compiles a CEL condition on dead letters: what a route's `when` sees, and the letter's own `reason`, `code`, `error`,
 * `attempts`, `requeues`, `route`, `target`, `id`. Throws PermanentError USAGE; so does the condition where it costs too much.
 */
export function compileLetterCondition(text: string): (letter: StoredDeadLetter) => boolean {
  const captures = new Set(Array.from(text.matchAll(/\bparams(?:\.|\[['"])(\w+)/g), ([, name = '']) => name))
  try {
    const holds = compileCondition(`${prefix}(${text}\n)${suffix}`, { captures })
    return (letter) => {
      const headers = Object.assign(Object.create(null), letter.envelope.headers, { [carrier]: factsOf(letter) })
      const envelope = letter.envelope.with({ headers })
      try {
        return holds({ envelope, params: letter.params, receivedAt: letter.firstAt })
      } catch {
        throw tooCostly(letter)
      }
    }
  } catch (error) {
    if (error instanceof RuleError) throw usage(error, text)
    throw error
  }
}

function factsOf(letter: StoredDeadLetter): Record<string, HeaderValue> {
  const told: Record<string, HeaderValue> = Object.create(null)
  for (const [name, read] of Object.entries(facts)) told[name] = read(letter)
  return told
}

function tooCostly({ id }: StoredDeadLetter): PermanentError {
  const advice = 'shorten it, or leave that letter out with other criteria'
  return new PermanentError('USAGE', `where: it would take more than ${limits} on dead letter ${id}; ${advice}`)
}

/** The mistake, placed in what the user wrote. */
function usage({ message, offset, hint }: RuleError, text: string): PermanentError {
  const at = offset - prefix.length - 1
  const problem = at >= text.length ? 'the expression ends too early' : message
  const place = at > 0 && at < text.length ? ` at column ${at + 1}` : ''
  return new PermanentError('USAGE', `where: ${problem}${place}${hint === undefined ? '' : `; ${hint}`}`)
}
