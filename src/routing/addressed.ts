import type { AnyProtocol } from '../adapter/protocol.ts'
import { PermanentError } from '../errors.ts'

/** Of a path that ends in the destination: under this name it stands among the params of what came there. */
export const addressParam = 'address'

/** Settings of a target whose destination is one text, as `trivium publish` has it. Throws PermanentError DESTINATION_INVALID. */
export function targetAt({ name, sink }: AnyProtocol, address: string): unknown {
  if (address === '') throw invalid('the path names no destination')
  const target = parsed(() => sink?.targetOf(address, undefined), name)
  for (const [key, { check }] of Object.entries(sink?.destinations ?? {})) {
    const text = (target as Readonly<Record<string, unknown>>)[key]
    const problem = typeof text === 'string' ? check(text) : undefined
    if (problem !== undefined) throw invalid(`${key}: ${problem}`)
  }
  return target
}

function parsed(work: () => unknown, protocol: string): unknown {
  try {
    return work()
  } catch (cause) {
    throw invalid(`this is no destination of ${protocol}`, { cause })
  }
}

const invalid = (text: string, options?: ErrorOptions) => new PermanentError('DESTINATION_INVALID', text, options)
