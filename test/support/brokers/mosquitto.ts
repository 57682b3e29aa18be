import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../ports.ts'
import { answers } from './answers.ts'
import { commandPath } from './install.ts'
import { dataFolder, launch, type Running } from './process.ts'

/** A Mosquitto for anonymous clients that keeps all it queues; `conf` adds lines to its configuration. */
export async function startMosquitto(options: { conf?: readonly string[] } = {}): Promise<Running> {
  const port = await freePort()
  const folder = dataFolder('mosquitto')
  const conf = join(folder, 'mosquitto.conf')
  writeFileSync(conf, [...settings(port, folder), ...(options.conf ?? [])].join('\n'))
  return await launch({
    name: 'Mosquitto',
    command: commandPath('mosquitto'),
    args: ['-c', conf],
    folder,
    port,
    address: `mqtt://127.0.0.1:${port}`,
    ready: () => answers({ port, request: connectPacket, isAnswer: (bytes) => bytes[0] === 0x20, withinMs: 60_000 }),
  })
}

function settings(port: number, folder: string): string[] {
  return [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'max_queued_messages 0', // no limit
    'max_inflight_messages 1000',
    'persistence true', // sessions outlive a stop in its own way; for a kill add autosave_on_changes
    `persistence_location ${folder}/`,
    ...(process.getuid?.() === 0 ? ['user root'] : []), // else it drops to a user that may not write here
  ]
}

/** MQTT 3.1.1 CONNECT, clean session, no client id. */
const connectPacket = Uint8Array.of(0x10, 12, 0, 4, ...Buffer.from('MQTT'), 4, 2, 0, 10, 0, 0)
