import type { AnyProtocol } from '../../adapter/protocol.ts'
import { protocolsIn } from '../read/protocol-modules.ts'
import type { Report } from '../report/report.ts'

const help = 'name a module beside this file that exports what defineProtocol gives; see docs/adding-a-protocol.md'

/** Those built in, and those of the modules that `gateway.protocols` names. */
export function withOwnProtocols(
  builtIn: readonly AnyProtocol[],
  gateway: unknown,
  { report, load }: { readonly report: Report; readonly load: (name: string) => unknown },
): ReadonlyMap<string, AnyProtocol> {
  const all = new Map(builtIn.map((protocol) => [protocol.name, protocol]))
  for (const [index, name] of modulesIn(gateway).entries()) {
    const place = { path: ['gateway', 'protocols', index], on: 'value' } as const
    const found = protocolsIn(name, load)
    if (typeof found === 'string') {
      report.add('TRV1010', `cannot load a protocol from \`${name}\`: ${found}`, place, { help })
      continue
    }
    for (const protocol of found) {
      if (all.has(protocol.name))
        report.add('TRV1010', `duplicate protocol \`${protocol.name}\``, place, {
          help: 'give yours another name',
        })
      else all.set(protocol.name, protocol)
    }
  }
  return all
}

/** What is no list of names is told by the schema. */
function modulesIn(gateway: unknown): readonly string[] {
  const { protocols } = (gateway ?? {}) as { protocols?: unknown }
  return Array.isArray(protocols) && protocols.every((name) => typeof name === 'string') ? protocols : []
}
