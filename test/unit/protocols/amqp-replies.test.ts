import { expect, it } from '@jest/globals'
import { replyTo } from '../../../protocols/amqp/replies.ts'
import { PermanentError } from '../../../src/errors.ts'
import { message } from '../store/stores.ts'

it.each(['', 'q'.repeat(256), 'a\nb'])('refuses a reply address that can be no queue: %j', (queue) => {
  expect(() => replyTo(message({ replyTo: `amqp:${queue}` }))).toThrow(PermanentError)
})

it('takes the queue that an asker names as it is', () => {
  expect(replyTo(message({ replyTo: 'amqp:answers' }))).toMatchObject({ queue: 'answers', declare: false })
})
