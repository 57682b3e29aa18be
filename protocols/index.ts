/** The list of protocols: adding one to the gateway is a folder beside this file and a line here. */
import type { AnyProtocol } from '../src/adapter/protocol.ts'
import { amqp } from './amqp/index.ts'
import { http } from './http/index.ts'
import { kafka } from './kafka/index.ts'
import { memory } from './memory/index.ts'
import { mqtt } from './mqtt/index.ts'

export const protocols: readonly AnyProtocol[] = [mqtt, amqp, kafka, http, memory]
