/** Who may connect, and what a user may publish and subscribe to. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { covers } from '../subscription.ts'
import type { EmbeddedUser } from './config.ts'
import { compileFilter } from './filter.ts'

/** What a connected device may do. */
export interface Rights {
  /** The user's name; undefined: anybody. */
  readonly username: string | undefined
  mayPublish(topic: string): boolean
  /** True where all the filter could match is granted. */
  maySubscribe(filter: string): boolean
}

export interface Users {
  /** The rights of whoever knows the password, or undefined. Takes the same time whether the name exists or not. */
  login(username: string | undefined, password: Uint8Array | undefined): Rights | undefined
  /** The rights of a user who logged in some time ago; undefined where the configuration no longer lets him in. */
  rightsOf(username: string | undefined): Rights | undefined
}

const anybody: Rights = { username: undefined, mayPublish: () => true, maySubscribe: () => true }

/** No users: anybody may do anything. */
export function createUsers(users: readonly EmbeddedUser[]): Users {
  if (users.length === 0) return { login: () => anybody, rightsOf: () => anybody }
  const pepper = randomBytes(32) // the digests live in memory only: the key need not outlast the process
  const digest = (text: string | Uint8Array) => createHmac('sha256', pepper).update(text).digest()
  const known = new Map(users.map((user) => [user.username, { digest: digest(user.password), rights: rightsOf(user) }]))
  const nobody = { digest: digest(randomBytes(32)), rights: undefined }
  return {
    login(username, password) {
      const entry = known.get(username ?? '') ?? nobody
      const isRight = timingSafeEqual(entry.digest, digest(password ?? new Uint8Array()))
      return isRight ? entry.rights : undefined
    },
    rightsOf: (username) => (username === undefined ? undefined : known.get(username)?.rights),
  }
}

/** With neither list a user may use every topic; one list alone leaves the other empty. */
function rightsOf({ username, publish, subscribe }: EmbeddedUser): Rights {
  if (publish === undefined && subscribe === undefined) return { ...anybody, username }
  const granted = subscribe ?? []
  const matchers = (publish ?? []).map(compileFilter)
  return {
    username,
    mayPublish: (topic) => matchers.some((matches) => matches(topic)),
    maySubscribe: (filter) => granted.some((grant) => covers(grant, filter)),
  }
}
