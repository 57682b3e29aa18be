/** What a reader passes, in order: the page it comes from, the name it reached us by, its credentials. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isLoopback } from '../../../src/adapter/loopback.ts'
import type { Guard } from '../listener/auth.ts'
import type { HttpListenerConnection } from '../listener/config.ts'
import { Origins } from '../listener/origins.ts'
import { Refusal } from '../listener/problem.ts'

const methods = ['GET'] as const

export class Door {
  readonly #origins: Origins
  readonly #guard: Guard
  /** Undefined: by whatever name it was reached. */
  readonly #hosts: ReadonlySet<string> | undefined

  constructor(connection: HttpListenerConnection, guard: Guard) {
    this.#origins = new Origins(connection.cors)
    this.#guard = guard
    this.#hosts = isGuarded(connection) ? undefined : hostsOf(connection)
  }

  /** False: it has been answered. Throws a Refusal, 401 or 403. */
  admit(request: IncomingMessage, response: ServerResponse): boolean {
    if (!this.#origins.admit(request, response, methods)) return false
    this.#checkHost(request.headers.host ?? '')
    if (this.#guard.check(request.headers) === undefined) this.#guard.checkSigned(request.headers, noBytes)
    if (request.method !== 'OPTIONS') return true
    response.writeHead(204, { allow: methods.join(', ') }).end()
    return false
  }

  /**
   * A page whose own name was made to mean this machine (DNS rebinding) sends no `Origin` with a GET; only the name that it
   * reached us by tells it from others.
   */
  #checkHost(host: string): void {
    const name = host.replace(/:\d*$/, '').toLowerCase()
    if (this.#hosts === undefined || isLoopback(name) || this.#hosts.has(name)) return
    const detail = `${name.slice(0, 80)} is no name of this machine: add \`auth\`, or name the page in \`cors.origins\``
    throw new Refusal({ status: 403, code: 'ACCESS_DENIED', detail })
  }
}

const noBytes = new Uint8Array()

const isGuarded = ({ auth, tls, insecure }: HttpListenerConnection) =>
  auth !== undefined || tls?.ca !== undefined || insecure

function hostsOf({ cors }: HttpListenerConnection): ReadonlySet<string> {
  return new Set(cors?.origins.flatMap((origin) => (origin === '*' ? [] : [new URL(origin).hostname])))
}
