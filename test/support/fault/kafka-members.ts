/** Takes dead members out of a consumer group at once, as an operator does, whose partitions would else wait 15 s for them. */

import { once } from 'node:events'
import { connect } from 'node:net'
import { Kafka, logLevel } from 'kafkajs'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { portOf } from '../places/connections.ts'

export async function removeMembers(address: string, group: string): Promise<void> {
  const admin = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const { groups } = await admin.describeGroups([group])
    for (const { memberId } of groups[0]?.members ?? []) await leave(portOf(address), group, memberId)
  } finally {
    await admin.disconnect()
  }
}

/** LeaveGroup, version 1. https://kafka.apache.org/protocol#The_Messages_LeaveGroup */
async function leave(port: number, group: string, memberId: string): Promise<void> {
  const apiKey = 13
  const header = Buffer.of(0, apiKey, 0, 1, 0, 0, 0, 1)
  const body = Buffer.concat([header, text('test'), text(group), text(memberId)])
  const size = Buffer.alloc(4)
  size.writeInt32BE(body.length)
  const socket = connect(port, '127.0.0.1')
  try {
    socket.write(Buffer.concat([size, body]))
    await withDeadline(once(socket, 'data'), 5_000, 'leaving the group')
  } finally {
    socket.on('error', () => {}).destroy()
  }
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes])
}
