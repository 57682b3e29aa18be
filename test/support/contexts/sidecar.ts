/** A gateway with the sidecar's API, and what an application says to it by HTTP. */
import { brokerAddresses } from '../brokers/addresses.ts'
import type { TestGateway } from '../gateway/gateway.ts'
import type { Scope } from '../gateway/scenario.ts'
import { unique } from '../names.ts'
import { freePort } from '../ports.ts'

const token = 'only-for-this-application'

export interface SidecarPlan {
  /** Keys of `gateway.sidecar` besides. */
  readonly sidecar?: string
  readonly connections?: string
  readonly routes?: string
}

export interface Told {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

type Sent = Omit<RequestInit, 'headers'> & { readonly headers?: Record<string, string> }

export interface Sidecar {
  readonly url: string
  readonly gateway: TestGateway
  /** By POST, with the token. */
  say(path: string, body?: string, sent?: Sent): Promise<Told>
}

export const amqpConnection = () => `orders: { protocol: amqp, url: "${brokerAddresses().amqp}" }`

export async function sidecarOf(scope: Scope, plan: SidecarPlan = {}): Promise<Sidecar> {
  const { sidecar = '', connections = amqpConnection(), routes = '[]' } = plan
  const port = await freePort()
  const gateway = await scope
    .gateway(
      `
gateway:
  id: ${unique('t')}
  drain: 1s
  admin: false
  sidecar: { listen: "127.0.0.1:${port}", token: ${token}${sidecar && `, ${sidecar}`} }
connections:
  ${connections}
routes: ${routes}
`,
    )
    .ready()
  const url = `http://127.0.0.1:${port}`
  const say = async (path: string, body = '', { headers = {}, ...more }: Sent = {}): Promise<Told> => {
    const all = { authorization: `Bearer ${token}`, ...headers }
    const response = await fetch(url + path, { method: 'POST', body, headers: all, ...more })
    return { status: response.status, headers: response.headers, text: await response.text() }
  }
  return { url, gateway, say }
}
