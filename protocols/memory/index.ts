/** The reference adapter: a bus inside this process, for tests and for trying rules. */
import { type DestinationKind, defineProtocol } from '../../src/adapter/protocol.ts'
import { MemoryConnectionConfig, MemoryFromConfig, MemoryTargetConfig } from './config.ts'
import { MemorySink } from './sink.ts'
import { MemorySource } from './source.ts'

export { type MemoryBus, memoryBus } from './connection.ts'

const topic: DestinationKind = {
  separator: '/',
  encode: (value) => (value === '' ? '%' : value.replaceAll(/[%/+#]/g, encodeURIComponent)),
  check: (text) => {
    if (text === '') return 'the topic is empty'
    return /[+#]/.test(text) ? 'a topic must not contain a wildcard (+ or #)' : undefined
  },
}

export const memory = defineProtocol<MemoryConnectionConfig, MemoryFromConfig, MemoryTargetConfig>({
  name: 'memory',
  summary: 'A bus inside the process: the reference adapter, for tests and for trying rules.',
  connection: MemoryConnectionConfig,
  defaultFormat: 'binary',
  source: {
    schema: MemoryFromConfig,
    patterns: (from) => [{ text: from.topic, separator: '/', one: '+', rest: '#' }],
    group: (from) => from.topic,
    create: (connection, froms, context) => new MemorySource(connection, froms, context),
    defaultAcknowledge: 'delivered',
  },
  sink: {
    schema: MemoryTargetConfig,
    destinations: { topic },
    plainTemplates: [],
    address: (target) => target.topic,
    targetOf: (destination) => ({ topic: destination }),
    create: (connection, context) => new MemorySink(connection, context),
  },
})
