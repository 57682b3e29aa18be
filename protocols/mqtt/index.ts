/** MQTT 5 and 3.1.1: a client of an external broker (`url`), or the embedded broker (`listen`). */

import { shownAddress } from '../../src/adapter/address.ts'
import type { Context, Source } from '../../src/adapter/contract.ts'
import type { ReplyPlace } from '../../src/adapter/conversation.ts'
import { defineProtocol } from '../../src/adapter/protocol.ts'
import { PermanentError } from '../../src/errors.ts'
import { type EmbeddedUser, listenAddresses, type MqttBrokerConnection } from './broker/config.ts'
import { createBrokerSink, createBrokerSource } from './broker/index.ts'
import { MqttClientConnection } from './client/config.ts'
import { ReplySource } from './client/reply-source.ts'
import { MqttSink } from './client/sink.ts'
import { MqttSource } from './client/source.ts'
import { checkConnection, isBroker, MqttConnection, MqttFrom, MqttTarget } from './config.ts'
import { replyTo, replyTopicOf, versionProblem } from './replies.ts'
import { topicDestination, topicPattern } from './topic.ts'

export const mqtt = defineProtocol<MqttConnection, MqttFrom, MqttTarget>({
  name: 'mqtt',
  summary: 'MQTT 5 and 3.1.1, as a client of a broker or as the broker itself.',
  connection: MqttConnection,
  defaultFormat: 'binary',
  checkConnection,
  source: {
    schema: MqttFrom,
    check: checkFrom,
    patterns: (from) => [topicPattern(from.topic)],
    group: (from) => from.share ?? '',
    create: (connection, froms, context) =>
      isBroker(connection)
        ? createBrokerSource(connection, froms, context)
        : new MqttSource(connection, froms, context),
    defaultAcknowledge: 'stored',
    asks: { problem: (_, connection) => versionProblem(connection), replyTo },
  },
  sink: {
    schema: MqttTarget,
    destinations: { topic: topicDestination },
    plainTemplates: [],
    address: (target) => target.topic,
    isHeardBySources: (connection) => !isBroker(connection), // the embedded broker gives routes what devices send
    lasting: ({ topic, retain }) => (retain === true ? topic : undefined),
    outside: (connection) => (isBroker(connection) ? outside(connection) : connection),
    targetOf: (topic) => ({ topic, qos: 1, retain: false }),
    create: (connection, context) =>
      isBroker(connection) ? createBrokerSink(connection, context) : new MqttSink(connection, context),
  },
  replies: { problem: versionProblem, address: (_, place) => replyTopicOf(place), create: createReplies },
})

function createReplies(connection: MqttConnection, context: Context, place: ReplyPlace): Source {
  if (isBroker(connection)) throw new PermanentError('CONFIG_INVALID', versionProblem(connection) ?? '')
  return new ReplySource(connection, context, { topic: replyTopicOf(place), instance: place.instance })
}

function checkFrom(from: MqttFrom, connection: MqttConnection) {
  if (from.share === undefined || !isBroker(connection)) return []
  return [{ path: ['share'], message: 'the embedded broker has one reader: this gateway; leave `share` out' }]
}

/** The same broker as an ordinary client reaches it, with the name of the first user. */
function outside(connection: MqttBrokerConnection): MqttClientConnection {
  const address = listenAddresses(connection).find(({ port }) => port !== 0)
  if (address === undefined) {
    throw new PermanentError('CONFIG_INVALID', '`listen` leaves the port to the system: name one to publish through it')
  }
  const host = address.host === '0.0.0.0' || address.host === '::' ? 'localhost' : address.host
  const user = connection.users.find(({ password }) => password !== undefined)
  const secured = address.scheme === 'mqtts' || address.scheme === 'wss'
  return MqttClientConnection.parse({
    url: shownAddress({ ...address, host }),
    clean: true,
    protocolVersion: 4, // all the embedded broker speaks
    ...(user && { username: user.username, password: user.password, ...clientIdOf(user) }),
    ...(secured && { tls: { ca: connection.tls?.cert } }),
  })
}

/** A stem that fits the patterns of the user, where they end in `*`: `-out` comes behind it. */
function clientIdOf({ username, clientIds = [] }: EmbeddedUser): { readonly clientId?: string } {
  const pattern = clientIds.find((each) => each.endsWith('*'))
  if (pattern === undefined) return {}
  return { clientId: `${pattern.slice(0, -1).replaceAll('{user}', () => username)}trivium`.replaceAll('*', '') }
}
