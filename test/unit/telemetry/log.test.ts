import { PassThrough } from 'node:stream'
import { expect, test } from '@jest/globals'
import { createLog } from '../../../src/telemetry/log.ts'

function logged(write: (log: ReturnType<typeof createLog>) => void, format: 'json' | 'text' = 'json'): string {
  const stream = new PassThrough()
  write(createLog({ level: 'info', format, stream }))
  return String(stream.read() ?? '')
}

test('a line is one JSON object with its fields', () => {
  const line = JSON.parse(logged((log) => log.info('devices is connected', { connection: 'devices', count: 3 })))
  expect(line).toMatchObject({ level: 'info', message: 'devices is connected', connection: 'devices', count: 3 })
})

test('what a peer sends stays on one line and cannot forge another', () => {
  const text = logged((log) => log.warn('refused: \n{"level":"error"}\u001b[31m', { peer: 'a\r\nb' }))
  expect(text.trimEnd().split('\n')).toHaveLength(1)
  expect(text).not.toContain('\u001b')
})

test.each(['json', 'text'] as const)(
  'what turns the direction of text, or ends a line, is written out: %s',
  (format) => {
    const unsafe = '\u202e\u2066\u2028\u2029\u0085\u009b\ufeff\u200f'
    const line = logged((log) => log.warn(`refused: ${unsafe}`, { peer: unsafe, cause: new Error(unsafe) }), format)
    expect(line.trimEnd()).not.toMatch(/[\u0080-\u009f\u2028\u2029\u202e\u2066\ufeff\u200f\n]/)
    expect(line.match(/u202e/g)).toHaveLength(3)
  },
)

test('secrets are not printed, neither as fields nor in URLs', () => {
  const text = logged((log) =>
    log.error('cannot reach amqp://guest:hunter2@localhost:5672/', { password: 'hunter2', authToken: 'hunter2' }),
  )
  expect(text).not.toContain('hunter2')
  expect(text).toContain('amqp://***@localhost')
})

test('text is one line with the fields behind', () => {
  const text = logged((log) => log.info('connected', { connection: 'devices' }), 'text')
  expect(text).toContain('connected')
  expect(text).toContain('connection=devices')
  expect(text.trimEnd().split('\n')).toHaveLength(1)
})

test('debug is silent at level info', () => {
  expect(logged((log) => log.debug('nobody wants to know'))).toBe('')
})
