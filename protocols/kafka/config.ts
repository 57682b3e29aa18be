import { z } from 'zod'
import { clientTls, hostPorts, listed, secret, size, timeLimit } from '../../src/adapter/schema.ts'
import { topicDestination } from './destination.ts'

export const compressions = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

export const KafkaConnection = z.strictObject({
  brokers: z
    .array(hostPorts())
    .min(1)
    .meta({
      description: 'Bootstrap brokers. An entry may hold several, separated by commas.',
      examples: [['localhost:9092'], ['${env:BROKERS}']],
    })
    .transform((entries) => [...new Set(entries.flatMap(listed))]),
  clientId: z
    .string()
    .min(1)
    .optional()
    .meta({ description: 'Client id in broker logs and quotas. Default: the gateway id.' }),
  tls: clientTls().optional(),
  sasl: z
    .strictObject({
      mechanism: z
        .enum(['plain', 'scram-sha-256', 'scram-sha-512'])
        .meta({ description: 'SASL mechanism; `plain` sends the password itself, so use TLS.' }),
      username: z.string().min(1).meta({ description: 'User name.' }),
      password: secret().meta({ secret: true, description: 'Password; use ${env:…} or ${file:…}.' }),
    })
    .optional()
    .meta({ description: 'Credentials for the brokers.' }),
  compression: z
    .enum(compressions)
    .default('none')
    .meta({ description: 'Compression of produced records; all codecs can be read.' }),
  connectTimeout: timeLimit()
    .prefault('10s')
    .meta({ description: 'Maximum time for one broker to accept the connection and the credentials.' }),
  requestTimeout: timeLimit()
    .prefault('20s')
    .meta({ description: 'Maximum time for a broker to answer, and for a batch to be confirmed.' }),
  replyTopic: z
    .string()
    .refine((topic) => topicDestination.check(topic) === undefined, { error: 'expected a topic name' })
    .default('trivium.replies')
    .meta({
      description:
        'Topic for replies to requests sent through this connection. Gateways may share it; each reads all of it, without a consumer group.',
    }),
})
export type KafkaConnection = z.infer<typeof KafkaConnection>

const topicPattern = z
  .string()
  .min(1)
  .regex(/^([A-Za-z0-9._-]|\{[A-Za-z_]\w*#?\})+$/, {
    error: 'expected a topic name, where {name} matches one level between dots and {name#} all remaining levels',
  })

export const KafkaFrom = z
  .strictObject({
    topic: topicPattern.optional().meta({
      description: 'Topic; {name} captures one level between dots, {name#} all remaining levels.',
      examples: ['orders', 'telemetry.{site}'],
    }),
    topics: z
      .array(topicPattern)
      .min(1)
      .optional()
      .meta({ description: 'Several topics or patterns, instead of `topic`.' }),
    group: z.string().min(1).optional().meta({
      description: 'Consumer group that shares the partitions and keeps the offsets. Default: the gateway id.',
    }),
    startFrom: z.enum(['earliest', 'latest']).default('earliest').meta({
      description:
        'Where a group without committed offsets starts, and where it continues if its offset is no longer available.',
    }),
    maxInFlight: z.int().min(1).default(1000).meta({
      description: 'Maximum unsettled messages before reading pauses; raise it for a target with a long round trip.',
    }),
    maxBytes: size().prefault('32MiB').meta({ description: 'Maximum unsettled bytes before reading pauses.' }),
  })
  .refine((from) => (from.topic === undefined) !== (from.topics === undefined), {
    error: 'set either `topic` or `topics`',
    path: ['topic'],
  })
export type KafkaFrom = z.infer<typeof KafkaFrom>

export const KafkaTarget = z.strictObject({
  topic: z
    .string()
    .min(1)
    .meta({
      description: 'Topic; a missing topic is created only if the broker auto-creates topics.',
      examples: ['telemetry.{params.site}'],
    }),
  key: z
    .string()
    .optional()
    .meta({ description: "Record key: selects the partition and keeps order. Default: the envelope's key." }),
  partition: z.int().min(0).optional().meta({ description: 'Partition, instead of selecting it by key.' }),
})
export interface KafkaTarget extends z.infer<typeof KafkaTarget> {
  /** Of an answer: a topic of its asker, which is not created here. */
  readonly mustExist?: boolean
}

/** The topics or patterns of a `from`. */
export function topicsOf(from: KafkaFrom): readonly string[] {
  return from.topics ?? (from.topic === undefined ? [] : [from.topic])
}
