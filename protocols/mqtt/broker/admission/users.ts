/** Who may connect, and what a user may publish and subscribe to. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { covers } from '../../client/subscription.ts'
import type { EmbeddedUser } from '../config.ts'
import { compileFilter } from '../filter.ts'
import { anyName, fillIn, fitsClientId, namingProblem } from './placeholders.ts'

/** What a connected device may do. */
export interface Rights {
  /** The user's name; undefined: anybody. */
  readonly username: string | undefined
  mayPublish(topic: string): boolean
  /** True where all the filter could match is granted. */
  maySubscribe(filter: string): boolean
}

/** Somebody who may connect. */
export interface Account {
  readonly username: string | undefined
  /** Why a client id is none for this user, or undefined. */
  clientIdProblem(clientId: string): string | undefined
  rightsAs(clientId: string): Rights
}

export interface Users {
  /** Whose password that is, or undefined. Takes the same time whether the name exists or not. */
  login(username: string | undefined, password: Uint8Array | undefined): Account | undefined
  /** Whom a certificate names, or undefined. */
  certified(name: string): Account | undefined
  /** A user who logged in some time ago; undefined where the configuration no longer lets him in. */
  named(username: string | undefined): Account | undefined
}

const everything: Rights = { username: undefined, mayPublish: () => true, maySubscribe: () => true }
const anybody: Account = { username: undefined, clientIdProblem: () => undefined, rightsAs: () => everything }

/** No users: anybody may do anything, as whom the certificate names where it is asked (`namesCount`). */
export function createUsers(users: readonly EmbeddedUser[], namesCount = false): Users {
  if (users.length === 0) return withoutUsers(namesCount)
  const pepper = randomBytes(32) // the digests live in memory only: the key need not outlast the process
  const digest = (text: string | Uint8Array) => createHmac('sha256', pepper).update(text).digest()
  const secretOf = ({ password }: EmbeddedUser) => digest(password || randomBytes(32))
  const known = new Map(
    users.map((user) => [user.username, { digest: secretOf(user), account: accountOf(user, user.username, users) }]),
  )
  const template = users.find(({ username }) => username === anyName)
  known.delete(anyName)
  const nobody = { digest: digest(randomBytes(32)), account: undefined }
  const certified = (name: string) => {
    if (name === '' || name === anyName) return undefined
    return known.get(name)?.account ?? (template && accountOf(template, name, users))
  }
  return {
    login(username, password) {
      const entry = known.get(username ?? '') ?? nobody
      const isRight = timingSafeEqual(entry.digest, digest(password ?? new Uint8Array()))
      return isRight ? entry.account : undefined
    },
    certified,
    named: (username) => (username === undefined ? undefined : certified(username)),
  }
}

function withoutUsers(namesCount: boolean): Users {
  const certified = (username: string): Account | undefined =>
    username === '' ? undefined : { ...anybody, username, rightsAs: () => ({ ...everything, username }) }
  return {
    login: () => anybody,
    certified,
    named: (username) => (username === undefined || !namesCount ? anybody : certified(username)),
  }
}

function accountOf(user: EmbeddedUser, username: string, users: readonly EmbeddedUser[]): Account {
  const others = users.filter((other) => other.username !== user.username && other.username !== anyName)
  const plain =
    hasPlaceholder(user, 'user') || hasPlaceholder(user, 'client') ? undefined : rightsOf(user, username, '')
  return {
    username,
    clientIdProblem: (clientId) =>
      substitutionProblem(user, username, clientId) ?? ownerProblem(user, username, others, clientId),
    rightsAs: (clientId) => plain ?? rightsOf(user, username, clientId),
  }
}

function substitutionProblem(user: EmbeddedUser, username: string, clientId: string): string | undefined {
  const ofUser = hasPlaceholder(user, 'user') ? namingProblem(username) : undefined
  if (ofUser !== undefined) return `the user name ${ofUser}, and a filter of the user has {user}`
  const ofClient = hasPlaceholder(user, 'client') ? namingProblem(clientId) : undefined
  return ofClient && `the client id ${ofClient}, and a filter of its user has {client}`
}

function hasPlaceholder({ publish = [], subscribe = [] }: EmbeddedUser, name: 'user' | 'client'): boolean {
  return [...publish, ...subscribe].some((filter) => filter.includes(`{${name}}`))
}

/** A user without patterns may have every client id but those that are another's by his patterns. */
function ownerProblem(
  { clientIds }: EmbeddedUser,
  username: string,
  others: readonly EmbeddedUser[],
  clientId: string,
): string | undefined {
  const isOf = (patterns: readonly string[], name: string) =>
    patterns.some((pattern) => fitsClientId(pattern, name, clientId))
  if (clientIds !== undefined)
    return isOf(clientIds, username) ? undefined : 'the client id fits none of the clientIds of its user'
  const isTaken = others.some((other) => isOf(other.clientIds ?? [], other.username))
  return isTaken ? 'the client id fits the clientIds of another user' : undefined
}

/** With neither list a user may use every topic; one list alone leaves the other empty. */
function rightsOf({ publish, subscribe }: EmbeddedUser, username: string, clientId: string): Rights {
  if (publish === undefined && subscribe === undefined) return { ...everything, username }
  const filled = (filters: readonly string[] = []) =>
    filters.map((filter) => fillIn(filter, { user: username, client: clientId }))
  const granted = filled(subscribe)
  const matchers = filled(publish).map(compileFilter)
  return {
    username,
    mayPublish: (topic) => matchers.some((matches) => matches(topic)),
    maySubscribe: (filter) => granted.some((grant) => covers(grant, filter)),
  }
}
