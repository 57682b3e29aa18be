/** Builds as much as it may, and prints what ended it. */
import { compileTransform } from '../../../src/routing/transform.ts'
import { scopeWith, subjectOf } from './subjects.ts'

const items = Array.from({ length: 10_000 }, (_, index) => index)
const text = 'ä'.repeat(20_000)
const subject = subjectOf(Buffer.from(JSON.stringify({ items, text })))
const doubled = (count: number, inner: string): string =>
  count === 0 ? inner : `cel.bind(w, ${'v'} + v, cel.bind(v, w, ${doubled(count - 1, inner)}))`

for (const expression of [
  'payload.items.map(i, payload.items)',
  'payload.items.map(i, payload.items + payload.items)',
  'payload.items.map(i, payload.text + payload.text)',
  "payload.items.map(i, payload.text).join('')",
  'payload.items.map(i, string(i)).join(payload.text)',
  "payload.items.map(i, {'a': i, 'b': [i], 'c': {'d': i}}) + payload.items.map(i, {'a': i, 'b': [i], 'c': {'d': i}})",
  "payload.text.replace('ä', payload.text)",
  "payload.items.map(i, payload.text.split(''))",
  `cel.bind(v, payload.text, ${doubled(16, 'v')})`,
]) {
  const change = compileTransform(new Map([['payload.x', expression]]), scopeWith())
  try {
    change?.(subject)
    process.stdout.write(`no end: ${expression}\n`)
  } catch (error) {
    process.stdout.write(`${(error as { code?: string }).code ?? String(error)}\n`)
  }
}
