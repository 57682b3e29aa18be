import type { GatewayError } from '../../../src/errors.ts'
import type { TopicPartition } from './topic-partition.ts'

export interface Batch {
  readonly count: number
  readonly bytes: Buffer
}

/**
 * What waits for one partition in a send.
 *
 *   going on -> (its batch is refused for now) -> paused -> going on
 *            -> (nobody knows whether its batch was written) -> paused and in doubt -> going on, the same batch again
 *   in doubt -> (written, given up, or made anew under another producer id) -> not in doubt
 */
export class Queue implements TopicPartition {
  readonly topic: string
  readonly partition: number
  /** Indexes of the records, in order. */
  waiting: number[]
  /** Most records in the next batch: halved to find the one at fault. */
  take = Number.MAX_SAFE_INTEGER
  /** The batch under way or to be sent again as it is. */
  batch: Batch | undefined
  /** When it first had to pause since it last got on; milliseconds. */
  stuckSince: number | undefined
  #isInDoubt = false
  #failure: GatewayError | undefined

  constructor(topic: string, partition: number, first: number) {
    this.topic = topic
    this.partition = partition
    this.waiting = [first]
  }

  /** True while the batch may have been written although no answer came. */
  get isInDoubt(): boolean {
    return this.#isInDoubt
  }

  /** Why it must pause before it is tried again; undefined: it goes on at once. */
  get failure(): GatewayError | undefined {
    return this.#failure
  }

  pause(failure: GatewayError): void {
    this.#failure = failure
  }

  /** The same batch is to be sent again under the same sequence number, whatever became of it. */
  keepInDoubt(failure: GatewayError): void {
    this.#isInDoubt = true
    this.#failure = failure
  }

  goOn(): void {
    this.#failure = undefined
  }

  /** Under a new producer id: what was sent under the old one is made again. */
  makeAnew(): void {
    this.batch = undefined
    this.#isInDoubt = false
  }

  /** The first `count` have their outcome. */
  ended(count: number): void {
    this.waiting = this.waiting.slice(count)
    this.makeAnew()
    this.stuckSince = undefined
  }
}
