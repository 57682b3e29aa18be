/** Our own client, as senders of a listener use one: what they are asked to send again, they do. */
import { setTimeout } from 'node:timers/promises'
import { http } from '../../../protocols/http/index.ts'
import type { Outbound, Outcome, Sink } from '../../../src/adapter/contract.ts'
import type { AnyProtocol } from '../../../src/adapter/protocol.ts'
import type { GatewayError } from '../../../src/errors.ts'

const againMs = 50

class Sender implements Sink {
  readonly keepsOrder = false
  readonly maxConcurrentSends = 1
  readonly maxBatch = 100
  readonly #sink: Sink

  constructor(sink: Sink) {
    this.#sink = sink
  }

  open(signal: AbortSignal): Promise<void> {
    return this.#sink.open(signal)
  }

  close(): Promise<void> {
    return this.#sink.close()
  }

  lost(): Promise<GatewayError> {
    return this.#sink.lost()
  }

  send(batch: readonly Outbound[], signal: AbortSignal): Promise<readonly Outcome[]> {
    return Promise.all(batch.map((outbound) => this.#sendOne(outbound, signal)))
  }

  async #sendOne(outbound: Outbound, signal: AbortSignal): Promise<Outcome> {
    for (;;) {
      const [outcome] = await this.#sink.send([outbound], signal)
      if (outcome!.kind !== 'retryable' || outcome!.error.isOutage) return outcome!
      await setTimeout(outcome!.error.retryAfterMs ?? againMs)
    }
  }
}

/** HTTP with that client as its sink. */
export const httpWithSender: AnyProtocol = {
  ...http,
  sink: { ...http.sink!, create: (connection, context) => new Sender(http.sink!.create(connection, context) as Sink) },
}
