import { memory } from '../../../protocols/memory/index.ts'
import type { Delivery, Outbound, Settlement } from '../../../src/adapter/contract.ts'
import { rejected } from '../../../src/adapter/contract.ts'
import { PermanentError, RetryableError } from '../../../src/errors.ts'

/** The memory protocol with a sink that refuses one topic for good, and a source whose settlements are seen. */
export function watchedMemory(refusedTopic: string): { protocol: typeof memory; settlements: Settlement[] } {
  const settlements: Settlement[] = []
  const watch = (delivery: Delivery): Delivery => ({
    envelope: delivery.envelope,
    address: delivery.address,
    settle(settlement) {
      settlements.push(settlement)
      delivery.settle(settlement)
    },
  })
  const source: typeof memory.source = {
    ...memory.source!,
    create(...parts) {
      const real = memory.source!.create(...parts)
      return {
        open: (signal) => real.open(signal),
        close: () => real.close(),
        consume: (deliver, signal) => real.consume((batch) => deliver([...batch].map(watch)), signal),
      }
    },
  }
  const sink: typeof memory.sink = {
    ...memory.sink!,
    create(...parts) {
      const real = memory.sink!.create(...parts)
      const send = real.send.bind(real)
      const refusal = rejected(new PermanentError('MESSAGE_REFUSED', 'not here'))
      const isRefused = ({ target }: Outbound<{ topic: string }>) => target.topic === refusedTopic
      real.send = async (batch, signal) => (batch.some(isRefused) ? batch.map(() => refusal) : send(batch, signal))
      return real
    },
  }
  return { protocol: { ...memory, source, sink }, settlements }
}

const realSink = memory.sink!

/** The memory protocol whose targets cannot be reached. */
export const memoryAway: typeof memory = {
  ...memory,
  sink: {
    ...realSink,
    create(...parts) {
      const sink = realSink.create(...parts)
      sink.open = async () => {
        throw new RetryableError('PEER_UNREACHABLE', 'away')
      }
      return sink
    },
  },
}
