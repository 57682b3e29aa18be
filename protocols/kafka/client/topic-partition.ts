export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** For maps, and for people: `telemetry/3`. */
export function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
