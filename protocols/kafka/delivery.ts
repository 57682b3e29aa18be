import type { Settlement } from '../../src/adapter/contract.ts'
import { SourceDelivery } from '../../src/adapter/source-delivery.ts'
import type { SourcePeer } from '../../src/adapter/source-session.ts'
import type { Envelope } from '../../src/envelope/envelope.ts'
import type { OwnedPartition } from './partition.ts'

/** How long what was released waits to be handed over again; its partition is committed no further meanwhile. */
export const redeliverMs = 1_000

export class KafkaDelivery extends SourceDelivery {
  readonly partition: OwnedPartition
  /** In the order of its partition. */
  readonly place: number

  constructor(envelope: Envelope, partition: OwnedPartition, place: number) {
    super(envelope, partition.topic)
    this.partition = partition
    this.place = place
  }
}

/** What is given back stays uncommitted: the group's next reader gets it. The readings hand over by themselves. */
export const partitions: SourcePeer<KafkaDelivery> = {
  settle({ partition, place }: KafkaDelivery, settlement: Settlement): void {
    if (settlement !== 'release') partition.confirm(place)
  },
}
