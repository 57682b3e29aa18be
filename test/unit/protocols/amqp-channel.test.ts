import { EventEmitter } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, jest, test } from '@jest/globals'
import type { Channel, ConfirmChannel } from 'amqplib'
import { Acknowledger } from '../../../protocols/amqp/acknowledger.ts'
import { Publisher } from '../../../protocols/amqp/client/publisher.ts'
import { AmqpTargetConfig } from '../../../protocols/amqp/config.ts'
import type { Outcome } from '../../../src/adapter/contract.ts'
import { Flight } from '../../../src/adapter/outcomes.ts'
import { PermanentError } from '../../../src/errors.ts'

/** A channel that notes what it is told; writes go where the driver keeps the frames of channel 1. */
class FakeChannel extends EventEmitter {
  readonly frames: string[] = []
  readonly writes: Buffer[] = []
  isClosed = false
  isFull = false
  readonly ch = 1
  readonly connection = { frameMax: 131_072, sentSinceLastCheck: false, channels: [null, { buffer: this.#buffer() }] }

  ack({ fields }: { fields: { deliveryTag: number } }, multiple = false): void {
    this.#note(`ack ${fields.deliveryTag}${multiple ? ' multiple' : ''}`)
  }

  nack({ fields }: { fields: { deliveryTag: number } }, _multiple: boolean, requeue: boolean): void {
    this.#note(`nack ${fields.deliveryTag}${requeue ? ' requeue' : ''}`)
  }

  #buffer() {
    return {
      write: (chunk: Buffer) => {
        this.writes.push(chunk)
        return !this.isFull
      },
    }
  }

  #note(frame: string): void {
    if (this.isClosed) throw new Error('Channel closed')
    this.frames.push(frame)
  }
}

describe('Acknowledger', () => {
  function acknowledger(count: number) {
    const channel = new FakeChannel()
    const acks = new Acknowledger(channel as unknown as Channel)
    for (let tag = 1; tag <= count; tag += 1) acks.add(tag)
    return { channel, acks }
  }

  test('an unbroken front goes out as one frame', async () => {
    const { channel, acks } = acknowledger(5)
    for (const tag of [2, 1, 3]) acks.settle(tag, 'accept')
    await turn()
    expect(channel.frames).toEqual(['ack 3 multiple'])
    expect(acks.size).toBe(2)
  })

  test('what has an unsettled one before it goes out alone', async () => {
    const { channel, acks } = acknowledger(5)
    for (const tag of [1, 3, 5]) acks.settle(tag, 'accept')
    await turn()
    expect(channel.frames).toEqual(['ack 3', 'ack 5', 'ack 1 multiple'])
    for (const tag of [4, 2]) acks.settle(tag, 'accept')
    await turn()
    expect(channel.frames.slice(3)).toEqual(['ack 4 multiple'])
  })

  test('release and reject are told at once and never covered by an acknowledgement', async () => {
    const { channel, acks } = acknowledger(3)
    acks.settle(1, 'accept')
    acks.settle(2, 'accept')
    acks.settle(3, 'reject')
    acks.settle(3, 'accept')
    await turn()
    expect(channel.frames).toEqual(['nack 3', 'ack 2 multiple'])
  })

  test('nothing is told once the channel is gone', async () => {
    const { channel, acks } = acknowledger(3)
    acks.settle(1, 'accept')
    channel.isClosed = true
    await turn()
    channel.isClosed = false
    acks.settle(2, 'release')
    expect(channel.frames).toEqual([])
  })
})

describe('Publisher', () => {
  function publisher(count: number) {
    const channel = new FakeChannel()
    const flight = new Flight(count)
    const ends: unknown[] = []
    const heard = jest.fn()
    const events = {
      heard,
      closed: (cause: unknown, unconfirmed: readonly { index: number }[]) =>
        void ends.push([cause, unconfirmed.map(({ index }) => index)]),
      returned: (): Outcome => ({ kind: 'rejected', error: new PermanentError('MESSAGE_UNROUTABLE', 'no queue') }),
    }
    const sender = new Publisher(channel as unknown as ConfirmChannel, events)
    const target = AmqpTargetConfig.parse({ queue: 'q' })
    const publish = (index: number, bytes = 1, messageId = `${index}`, to = flight) =>
      sender.publish({
        exchange: '',
        routingKey: 'q',
        content: Buffer.alloc(bytes, index),
        options: { messageId },
        flight: to,
        index,
        target,
        bytes: 0,
      })
    for (let index = 0; index < count; index += 1) publish(index)
    return { channel, flight, sender, publish, ends, heard }
  }
  const confirm = (deliveryTag: number, multiple = false) => ({ deliveryTag, multiple })

  test('confirms in any order, single and multiple, reach their messages', async () => {
    const { channel, flight, heard } = publisher(6)
    channel.emit('ack', confirm(4))
    expect(heard).toHaveBeenCalledTimes(1)
    channel.emit('nack', confirm(2))
    channel.emit('ack', confirm(3, true))
    expect(flight.isDone).toBe(false)
    channel.emit('nack', confirm(6, true))
    const kinds = (await flight.outcomes).map(({ kind }) => kind)
    expect(kinds).toEqual(['delivered', 'retryable', 'delivered', 'delivered', 'retryable', 'retryable'])
  })

  test('a return counts, and the confirm after it does not', async () => {
    const { channel, flight } = publisher(2)
    const fields = { exchange: '', routingKey: 'q', replyCode: 312, replyText: 'NO_ROUTE' }
    channel.emit('return', { fields, properties: { messageId: '1' }, content: Buffer.alloc(1, 1) })
    channel.emit('ack', confirm(2, true))
    expect((await flight.outcomes).map(({ kind }) => kind)).toEqual(['delivered', 'rejected'])
  })

  test('a return finds its message, though UTF-8 could not carry its id as it was', async () => {
    const { channel, publish } = publisher(0)
    const alone = new Flight(1)
    publish(0, 1, '\ud800', alone)
    const fields = { exchange: '', routingKey: 'q', replyCode: 312, replyText: 'NO_ROUTE' }
    channel.emit('return', { fields, properties: { messageId: '\ufffd' }, content: Buffer.alloc(1, 0) })
    channel.emit('ack', confirm(1))
    expect((await alone.outcomes).map(({ kind }) => kind)).toEqual(['rejected'])
  })

  test("the end of a channel that was abandoned is nobody's any more", () => {
    const { channel, sender, ends } = publisher(1)
    sender.abandon()
    channel.emit('close')
    expect(ends).toEqual([])
  })

  test('an end gives back what was unconfirmed, with the reason', () => {
    const { channel, sender, ends } = publisher(3)
    channel.emit('ack', confirm(2))
    const reason = new Error('404')
    channel.emit('error', reason)
    channel.emit('close')
    expect(ends).toEqual([[reason, [0, 2]]])
    expect(sender.isOpen).toBe(false)
  })

  test('waits for drain, and for confirms when many bytes are under way', async () => {
    const { channel, sender, publish } = publisher(3)
    channel.isFull = true
    publish(0)
    await turn()
    expect(sender.isWritable).toBe(false)
    const waiting = sender.whenWritable()
    channel.emit('drain')
    await waiting
    channel.isFull = false
    publish(1, 9 * 1024 * 1024)
    expect(sender.isWritable).toBe(false)
    const confirmed = sender.whenWritable()
    channel.emit('ack', confirm(5, true))
    await confirmed
    expect(sender.isIdle).toBe(true)
  })

  test('what one turn publishes is one write, and none once the channel is gone', async () => {
    const { channel, publish, sender } = publisher(3)
    await turn()
    expect(channel.writes).toHaveLength(1)
    publish(0)
    channel.emit('close')
    await turn()
    expect(channel.writes).toHaveLength(1)
    expect(sender.isOpen).toBe(false)
  })

  test('a message that does not fit takes no delivery tag', async () => {
    const { channel, flight, publish, sender } = publisher(1)
    expect(() => publish(0, 1, 'x'.repeat(256))).toThrow('255')
    publish(0)
    channel.emit('ack', confirm(1))
    expect(sender.isIdle).toBe(false)
    channel.emit('ack', confirm(2))
    expect(sender.isIdle).toBe(true)
    expect(await flight.outcomes).toHaveLength(1)
  })

  test('several may wait for different things at once', async () => {
    const { channel, sender, publish } = publisher(1)
    publish(0, 9 * 1024 * 1024)
    const ended: string[] = []
    void sender.whenWritable().then(() => ended.push('writable'))
    void sender.whenIdle().then(() => ended.push('idle'))
    void sender.whenWritable().then(() => ended.push('writable too'))
    channel.emit('ack', confirm(2))
    await turn()
    expect(ended).toEqual(['writable', 'writable too'])
    channel.emit('ack', confirm(1))
    await turn()
    expect(ended).toEqual(['writable', 'writable too', 'idle'])
  })

  test('a wait ends with the channel', async () => {
    const { channel, sender } = publisher(1)
    const waiting = sender.whenIdle()
    channel.emit('close')
    await waiting
  })
})
