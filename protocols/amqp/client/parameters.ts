/** The query of an address, by the names that RabbitMQ's clients share: https://www.rabbitmq.com/docs/uri-query-parameters */
import { parseAddress } from '../../../src/adapter/address.ts'
import type { SettingsProblem } from '../../../src/adapter/protocol.ts'

/** Each with the driver's name and the least and most it may be. */
const honoured: Readonly<Record<string, { option: string; least: number; most: number }>> = {
  heartbeat: { option: 'heartbeat', least: 1, most: 65_535 },
  channel_max: { option: 'channelMax', least: 16, most: 65_535 },
  frame_max: { option: 'frameMax', least: 4_096, most: 2 ** 31 - 1 },
}
const triesAgain = 'the gateway reconnects by itself for as long as it takes'
/** What other clients read there, and where it is said here. */
const elsewhere: Readonly<Record<string, string>> = {
  cacertfile: 'use `tls: { ca }` instead',
  certfile: '`tls: { cert }` says that here',
  keyfile: '`tls: { key }` says that here',
  server_name_indication: '`tls: { serverName }` says that here',
  verify: 'certificates are always verified; `tls: { ca }` names the authority to trust',
  connection_attempts: triesAgain,
  connection_timeout: triesAgain,
  retry_delay: triesAgain,
}

/** What the address says of the connection, for the driver; seconds and bytes. */
export function parametersOf(url: string): Readonly<Record<string, number>> {
  const entries = [...new URLSearchParams(parseAddress(url).query)]
  return Object.fromEntries(
    entries.flatMap(([name, value]) => {
      const known = Object.hasOwn(honoured, name) ? honoured[name] : undefined
      return known === undefined ? [] : [[known.option, Number(value)] as const]
    }),
  )
}

/** A parameter that would be ignored is an error: whoever wrote it counts on it. */
export function parameterProblems(url: string): SettingsProblem[] {
  return [...new URLSearchParams(parseAddress(url).query)].flatMap(([name, value]) => problemOf(name, value))
}

function problemOf(name: string, value: string): SettingsProblem[] {
  const path = ['url']
  if (!Object.hasOwn(honoured, name)) {
    const shown = /^\w{1,40}$/.test(name) ? `\`${name}\`` : 'a name that is none'
    const message = `its parameter ${shown} is not supported`
    const help = Object.hasOwn(elsewhere, name) ? elsewhere[name] : undefined
    return [{ path, message, help, unknown: { written: name, allowed: Object.keys(honoured) } }]
  }
  const { least, most } = honoured[name]!
  const isFine = /^\d{1,10}$/.test(value) && Number(value) >= least && Number(value) <= most
  return isFine ? [] : [{ path, message: `its parameter \`${name}\` must be an integer from ${least} to ${most}` }]
}
