/** The bindings a source has made: one that no route asks for any more stays at the broker, and is told once. */
import type { Context } from '../../src/adapter/contract.ts'
import { Standing, type Wish } from '../../src/adapter/standing.ts'
import { type AmqpFromConfig, bindingKey } from './config.ts'

/**
 * Call when the bindings stand. None is undone: whether the queue was bound like that before, or somebody else counts on
 * it, only its owner knows, and a binding too few loses messages.
 */
export function rememberBindings(froms: readonly AmqpFromConfig[], context: Context): void {
  const standing = new Standing<Wish>(context)
  const known = standing.all()
  const wanted = new Map(froms.flatMap((from) => bindingOf(from)))
  for (const [name, wish] of wanted) if (!known.has(name)) standing.put(name, wish)
  for (const [name, { text }] of known) {
    if (wanted.has(name)) continue
    standing.delete(name)
    context.log.warn(`${text}, which no route asks for any more; unbind it at the broker where nobody needs it`, {
      connection: context.connection,
    })
  }
}

function bindingOf({ queue, bind }: AmqpFromConfig): [string, Wish][] {
  if (bind === undefined) return []
  const { exchange, arguments: table = {} } = bind
  const key = bindingKey(bind.routingKey)
  const text = `queue ${queue} is bound to exchange ${exchange}${key === '' ? '' : ` by ${key}`}`
  return [[JSON.stringify([exchange, key, table]), { text }]]
}
