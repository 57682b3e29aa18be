/** Extension attributes of a CloudEvent: what came as one leaves as one, under the prefix of each protocol's binding. */
import { type Attribute, attributes } from './attribute-names.ts'
import type { ExtensionValue } from './envelope.ts'

const named: ReadonlySet<string> = new Set<Attribute | string>([
  ...attributes,
  // attributes of the core and members of a structured event, which are no extensions
  ...['subject', 'dataschema', 'data', 'trvspace'],
])
const allowed = /^[a-z0-9]{1,100}$/ // CloudEvents asks for 20 at most, and senders for more

/** True for a name that CloudEvents allows, and that stands for nothing else. */
export function isExtensionName(name: string): boolean {
  return allowed.test(name) && !named.has(name)
}

/** True for CloudEvents' own types that JSON has: a text, a flag, an integer of 32 bits. */
export function isExtensionValue(value: unknown): value is ExtensionValue {
  if (typeof value === 'number') return (value | 0) === value && !Object.is(value, -0)
  return typeof value === 'string' || typeof value === 'boolean'
}
