import type { Changes } from '../../admin/dead-letters-edit.ts'
import type { DiscardRequest, Filter, ListRequest, RequeueRequest } from '../../admin/dead-letters-request.ts'
import type { LetterRecord } from '../../admin/dead-letters-view.ts'
import type { GatewayIdentity } from '../../admin/identity.ts'
import type { PieceDone } from '../../delivery/dead-letters/workbench.ts'
import { AdminApi, type RemotePlace } from '../admin-api.ts'
import type { Desk, Listed } from './desk.ts'
import { plain } from './text.ts'

const letters = '/dead-letters'

/** A running gateway, asked by its admin API. */
export class RemoteDesk implements Desk {
  readonly isRunning = true
  readonly identity: GatewayIdentity
  readonly #api: AdminApi

  /** Resolves with undefined where nothing listens. Rejects with DeskError where no gateway of this version answers. */
  static async open(place: RemotePlace): Promise<RemoteDesk | undefined> {
    const api = new AdminApi(place)
    if (!(await api.isThere())) return undefined
    return new RemoteDesk(api, await api.identity())
  }

  private constructor(api: AdminApi, identity: GatewayIdentity) {
    this.#api = api
    this.identity = identity
  }

  get gateway(): string {
    return plain(this.identity.id)
  }

  async routes(): Promise<readonly string[]> {
    const { routes } = (await this.#api.json('/routes')) as { routes: readonly { name: string }[] }
    return routes.map(({ name }) => name)
  }

  async list(request: ListRequest): Promise<Listed> {
    return (await this.#api.json(letters, { query: request })) as Listed
  }

  async get(id: number): Promise<LetterRecord | undefined> {
    return (await this.#api.json(`${letters}/${id}`)) as LetterRecord | undefined
  }

  async requeue(request: RequeueRequest): Promise<PieceDone> {
    const answer = (await this.#api.json(`${letters}/requeue`, { method: 'POST', body: request })) as PieceDone & {
      requeued: number
    }
    return { ...answer, done: answer.requeued }
  }

  async discard(request: DiscardRequest): Promise<PieceDone> {
    const answer = (await this.#api.json(`${letters}/discard`, { method: 'POST', body: request })) as PieceDone & {
      discarded: number
    }
    return { ...answer, done: answer.discarded }
  }

  async edit(id: number, changes: Changes): Promise<LetterRecord | undefined> {
    return (await this.#api.json(`${letters}/${id}`, { method: 'PATCH', body: changes })) as LetterRecord | undefined
  }

  export(filter: Filter): AsyncIterable<string> {
    return this.#api.lines(`${letters}/export`, { query: filter })
  }

  async close(): Promise<void> {}
}
