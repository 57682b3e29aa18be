import { z } from 'zod'
import { clientTls, duration, hostPorts, listed, secret, size } from '../../src/adapter/schema.ts'

export const compressions = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

export const KafkaConnection = z.strictObject({
  brokers: z
    .array(hostPorts())
    .min(1)
    .meta({
      description:
        'Brokers to begin with; the others are learnt from them. An entry may be several, with commas between.',
      examples: [['localhost:9092'], ['${env:BROKERS}']],
    })
    .transform((entries) => [...new Set(entries.flatMap(listed))]),
  clientId: z
    .string()
    .min(1)
    .optional()
    .meta({ description: 'Name shown in broker logs and quotas (default: gateway id).' }),
  tls: clientTls().optional(),
  sasl: z
    .strictObject({
      mechanism: z
        .enum(['plain', 'scram-sha-256', 'scram-sha-512'])
        .meta({ description: 'How to prove who we are; plain sends the password itself and needs TLS.' }),
      username: z.string().min(1).meta({ description: 'User name.' }),
      password: secret().meta({ secret: true, description: 'Password; use ${env:…} or ${file:…}.' }),
    })
    .optional()
    .meta({ description: 'Credentials for the brokers.' }),
  compression: z
    .enum(compressions)
    .default('none')
    .meta({ description: 'Compression of what is sent; every kind is understood when reading.' }),
  connectTimeout: duration()
    .prefault('10s')
    .meta({ description: 'Longest time for one broker to accept the connection and the credentials.' }),
  requestTimeout: duration()
    .prefault('20s')
    .meta({ description: 'Longest time for a broker to answer, and for a batch to be confirmed.' }),
})
export type KafkaConnection = z.infer<typeof KafkaConnection>

const topicPattern = z
  .string()
  .min(1)
  .regex(/^([A-Za-z0-9._-]|\{[A-Za-z_]\w*#?\})+$/, {
    error: 'expected a topic name, in which {name} stands for one level between dots and {name#} for all that remain',
  })

export const KafkaFrom = z
  .strictObject({
    topic: topicPattern.optional().meta({
      description: 'Topic; {name} captures one level between dots, {name#} all that remain.',
      examples: ['orders', 'telemetry.{site}'],
    }),
    topics: z
      .array(topicPattern)
      .min(1)
      .optional()
      .meta({ description: 'Several topics or patterns, in place of `topic`.' }),
    group: z
      .string()
      .min(1)
      .optional()
      .meta({ description: 'Consumer group that shares the partitions and keeps the position (default: gateway id).' }),
    startFrom: z.enum(['earliest', 'latest']).default('earliest').meta({
      description: 'Where a group without a position begins, and where it goes on when its position is gone.',
    }),
    maxInFlight: z.int().min(1).default(1000).meta({
      description: 'Unsettled messages before reading stops; more for a target that is far away.',
    }),
    maxBytes: size().prefault('32MiB').meta({ description: 'Unsettled bytes before reading stops.' }),
  })
  .refine((from) => (from.topic === undefined) !== (from.topics === undefined), {
    error: 'name either topic or topics',
    path: ['topic'],
  })
export type KafkaFrom = z.infer<typeof KafkaFrom>

export const KafkaTarget = z.strictObject({
  topic: z
    .string()
    .min(1)
    .meta({
      description: 'Topic; one that is missing is created only where the broker does so by itself.',
      examples: ['telemetry.{params.site}'],
    }),
  key: z
    .string()
    .optional()
    .meta({ description: "Record key: chooses the partition and keeps order (default: the envelope's key)." }),
  partition: z.int().min(0).optional().meta({ description: 'Partition, in place of the choice by key.' }),
})
export type KafkaTarget = z.infer<typeof KafkaTarget>

/** The topics or patterns of a `from`. */
export function topicsOf(from: KafkaFrom): readonly string[] {
  return from.topics ?? (from.topic === undefined ? [] : [from.topic])
}
