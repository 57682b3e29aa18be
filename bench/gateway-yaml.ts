import type { Acknowledge, BrokerName, Place, Task } from './task.ts'

export interface Shape {
  /** How many routes; all but one match nothing. */
  readonly routes?: number
  readonly acknowledge?: Acknowledge
  /** Of the target. */
  readonly format?: 'binary' | 'raw'
  /** How many targets get each message, all at one place. */
  readonly targets?: number | undefined
  /** Whether the route knows by the message's id what it has already had. */
  readonly deduplicate?: boolean
}

/** The configuration that does what the bare loop does. */
export function gatewayYaml({ from, to, addresses }: Task, dataDir: string, shape: Shape = {}): string {
  const { routes = 1, format = 'binary' } = shape
  const target = `${targetOf(to, addresses)}, format: ${format}`
  const others = Array.from({ length: routes - 1 }, (_, n) => route(`other-${n}`, otherFrom(from, n), target, shape))
  return `
gateway: { id: bench, admin: false, dataDir: ${JSON.stringify(dataDir)} }
connections:
  source: ${connection(from, addresses)}
  target: ${connection(to, addresses)}
routes:
${[...others, route('road', fromOf(from), target, shape)].join('\n')}
`
}

function route(name: string, from: string, target: string, shape: Shape): string {
  const { acknowledge = 'delivered', targets = 1, deduplicate = false } = shape
  return `  - name: ${name}
    from: { connection: source, ${from} }
    when: payload.temperature > -300
    to: [${Array(targets).fill(`{ connection: target, ${target} }`).join(', ')}]
    acknowledge: ${acknowledge}${deduplicate ? '\n    deduplicate: 10m' : ''}`
}

function connection({ protocol, name }: Place, addresses: Task['addresses']): string {
  if (protocol === 'http') return '{ protocol: http }'
  if (protocol === 'mqtt') return `{ protocol: mqtt, url: "${addresses.mqtt}", clientId: ${name} }`
  if (protocol === 'amqp') return `{ protocol: amqp, url: "${addresses.amqp}" }`
  return `{ protocol: kafka, brokers: ${JSON.stringify(addresses.kafka)} }`
}

function fromOf({ protocol, name }: Place<BrokerName>): string {
  if (protocol === 'mqtt') return `topic: "${name}/{device}", qos: 1`
  if (protocol === 'amqp') return `queue: ${name}`
  return `topic: ${name}, group: ${name}`
}

/** Something on the same source that no message matches. */
function otherFrom(from: Place<BrokerName>, n: number): string {
  if (from.protocol === 'mqtt') return `topic: "${from.name}/{device}/none/${n}", qos: 1`
  return fromOf({ ...from, name: `${from.name}-none-${n}` })
}

function targetOf({ protocol, name }: Place, { http }: Task['addresses']): string {
  if (protocol === 'http') return `url: "${http}/${name}/{payload.device}"`
  if (protocol === 'mqtt') return `topic: "${name}/{payload.device}", qos: 1`
  if (protocol === 'amqp') return `queue: ${name}`
  return `topic: ${name}, key: "{payload.device}"`
}
