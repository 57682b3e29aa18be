import { z } from 'zod'
import { duration } from '../../src/adapter/schema.ts'

export const MemoryConnectionConfig = z.strictObject({
  bus: z.string().min(1).default('default').meta({
    description: 'Name of the bus in this process; connections that name the same one share it.',
  }),
})
export type MemoryConnectionConfig = z.infer<typeof MemoryConnectionConfig>

export const MemoryFromConfig = z.strictObject({
  topic: z
    .string()
    .min(1)
    .meta({
      description: 'Topic pattern: `+` and `{name}` match one level, `#` and `{name#}` all remaining levels.',
      examples: ['orders/{site}'],
    }),
  maxInFlight: z.int().min(1).default(1024).meta({ description: 'Maximum unsettled messages before reading pauses.' }),
  releaseDelay: duration()
    .prefault('100ms')
    .meta({ description: 'How long a released message waits before it is delivered again.' }),
})
export type MemoryFromConfig = z.infer<typeof MemoryFromConfig>

export const MemoryTargetConfig = z.strictObject({
  topic: z
    .string()
    .min(1)
    .meta({ description: 'Topic; may contain {expressions}.', examples: ['orders/{params.site}'] }),
})
export type MemoryTargetConfig = z.infer<typeof MemoryTargetConfig>
