/** The state of one `send` of the producer: a queue for each partition, and an outcome for each record. */
import { type Outcome, rejected } from '../../../src/adapter/contract.ts'
import { again } from '../../../src/adapter/outcomes.ts'
import { type GatewayError, messageOf, PermanentError, RetryableError } from '../../../src/errors.ts'
import { Queue } from './queue.ts'
import type { OutRecord } from './record-batch.ts'
import type { ProduceResult } from './requests.ts'
import type { TopicPartition } from './topic-partition.ts'

export interface Routed extends TopicPartition {
  readonly record: OutRecord
}

export class Sending {
  readonly records: readonly Routed[]
  readonly outcomes: Outcome[]
  readonly startedAt = Date.now()
  readonly #deadline: number
  queues: Queue[]
  /** True when a batch was given up of which nobody knows whether it was written. */
  isSequenceBroken = false
  /** True when the broker has lost track of our sequence numbers: what is unanswered is made again under a new id. */
  needsNewProducer = false

  constructor(records: readonly Routed[], deadline: number) {
    this.records = records
    this.#deadline = deadline
    this.outcomes = new Array<Outcome>(records.length)
    this.queues = queuesOf(records)
  }

  get msLeft(): number {
    return Math.max(0, this.#deadline - Date.now())
  }

  get isInDoubt(): boolean {
    return this.queues.some((queue) => queue.isInDoubt)
  }

  /** Forgets the queues that are done; gives those that need no pause. */
  goingOn(): Queue[] {
    this.queues = this.queues.filter(({ waiting }) => waiting.length > 0)
    return this.queues.filter(({ failure }) => failure === undefined)
  }

  /** Settles the first `count` of a queue. */
  finish(queue: Queue, count: number, outcome: Outcome): void {
    for (let i = 0; i < count; i++) this.outcomes[queue.waiting[i] as number] = outcome
    queue.ended(count)
  }

  /** Gives up a queue: what waits in it gets the error. */
  give(queue: Queue, error: unknown): void {
    if (queue.isInDoubt) this.isSequenceBroken = true
    this.finish(queue, queue.waiting.length, outcomeOf(error))
  }

  /** Gives up every queue, each with its own reason where `error` is not given. */
  giveAll(error?: unknown): void {
    for (const queue of this.queues) this.give(queue, error ?? overdue(queue))
    this.queues = []
  }

  /** A batch of `count` is refused: rejects the records at fault where they are known; else halves it until one is left. */
  narrow(queue: Queue, count: number, error: GatewayError, recordErrors: ProduceResult['recordErrors'] = []): void {
    queue.batch = undefined
    if (recordErrors.length > 0) {
      const at = new Map(recordErrors.map(({ index, message }) => [index, message]))
      for (const [index, message] of at) this.#reject(queue, index, message ?? messageOf(error))
      queue.waiting = queue.waiting.filter((_, index) => !at.has(index))
    } else if (count > 1) {
      queue.take = Math.ceil(count / 2)
    } else {
      const refusal = error instanceof PermanentError ? error : new PermanentError('MESSAGE_REFUSED', error.message)
      this.finish(queue, 1, rejected(refusal))
      queue.take = Number.MAX_SAFE_INTEGER
    }
  }

  #reject({ topic, waiting }: Queue, index: number, text: string): void {
    const record = waiting[index]
    if (record === undefined) return
    this.outcomes[record] = rejected(new PermanentError('MESSAGE_REFUSED', `topic ${topic}: ${text}`))
  }
}

/** The time is over: what a partition or the whole peer answered last, or else that it was not confirmed in time. */
function overdue({ failure }: Queue): RetryableError {
  if (failure instanceof RetryableError && !failure.countsAsAttempt) return failure
  return new RetryableError('PEER_TIMEOUT', `not confirmed in time: ${messageOf(failure)}`)
}

function outcomeOf(error: unknown): Outcome {
  return error instanceof PermanentError && error.code !== 'CONFIG_INVALID' ? rejected(error) : again(error)
}

function queuesOf(records: readonly Routed[]): Queue[] {
  const queues = new Map<string, Map<number, Queue>>()
  records.forEach(({ topic, partition }, index) => {
    const ofTopic = queues.get(topic) ?? new Map<number, Queue>()
    queues.set(topic, ofTopic)
    const queue = ofTopic.get(partition)
    if (queue) queue.waiting.push(index)
    else ofTopic.set(partition, new Queue(topic, partition, index))
  })
  return [...queues.values()].flatMap((ofTopic) => [...ofTopic.values()])
}
