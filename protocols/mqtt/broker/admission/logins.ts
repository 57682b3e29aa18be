/**
 * Slows down who guesses passwords. A wrong password costs time, twice as much after each, for the address it came from
 * and for the user it was tried for, whatever address tries next. Whoever has logged in well has a place of his own, where
 * others' failures do not count: a device by address, user and client id, and its user at that address.
 */
import { createHash } from 'node:crypto'
import { addressKey } from './peer-address.ts'

const firstDelayMs = 250
const longestDelayMs = 8_000
const forgetAfterMs = 60_000
const maxPendingOfAddress = 20
const maxPendingOfUser = 50
const maxAddresses = 10_000
const maxNames = 10_000
const maxPlaces = 20_000

export interface Attempt {
  readonly address: string
  readonly username: string | undefined
  readonly clientId: string
}

interface Failures {
  count: number
  pending: number
  lastMs: number
}

export class FailedLogins {
  readonly #isUser: (username: string) => boolean
  readonly #byAddress = new Map<string, Failures>()
  readonly #byUser = new Map<string, Failures>()
  /** Names that are no user's: treated alike, so that nobody learns which are, but forgotten when there are many. */
  readonly #byOtherName = new Map<string, Failures>()
  /** By a digest, as what a device names itself may be long; the longest unused first. */
  readonly #places = new Map<string, Failures>()

  constructor(isUser: (username: string) => boolean) {
    this.#isUser = isUser
  }

  /** True while so many refusals are under way that a further try is not looked at. */
  isBlocked(attempt: Attempt): boolean {
    const place = this.#placeOf(attempt)
    if (place !== undefined) return place.pending >= maxPendingOfAddress
    const { pending } = this.#ofAddress(attempt)
    return pending >= maxPendingOfAddress || this.#ofUser(attempt).pending >= maxPendingOfUser
  }

  /** Resolves once the failure has cost its time. */
  async fail(attempt: Attempt): Promise<void> {
    const place = this.#placeOf(attempt)
    const charged = place === undefined ? [this.#ofAddress(attempt), this.#ofUser(attempt)] : [place]
    const delayMs = Math.max(...charged.map(charge))
    await new Promise<void>((resolve) => setTimeout(resolve, delayMs).unref())
    for (const failures of charged) failures.pending -= 1
  }

  succeed(attempt: Attempt): void {
    for (const key of placeKeys(attempt)) latest(this.#places, key, maxPlaces)
  }

  #placeOf(attempt: Attempt): Failures | undefined {
    for (const key of placeKeys(attempt)) {
      const place = this.#places.get(key)
      if (place !== undefined) return forgiven(place)
    }
    return undefined
  }

  #ofAddress({ address }: Attempt): Failures {
    return latest(this.#byAddress, addressKey(address), maxAddresses)
  }

  #ofUser({ username = '' }: Attempt): Failures {
    if (this.#isUser(username)) return latest(this.#byUser, username, Number.POSITIVE_INFINITY)
    return latest(this.#byOtherName, digest(username), maxNames)
  }
}

/** The entry of that key, moved to the end; the one unused the longest makes room. */
function latest(entries: Map<string, Failures>, key: string, most: number): Failures {
  const failures = forgiven(entries.get(key) ?? none())
  entries.delete(key)
  entries.set(key, failures)
  const oldest = entries.keys().next().value
  if (entries.size > most && oldest !== undefined) entries.delete(oldest)
  return failures
}

function none(): Failures {
  return { count: 0, pending: 0, lastMs: Date.now() }
}

function forgiven(failures: Failures): Failures {
  if (failures.pending === 0 && Date.now() - failures.lastMs >= forgetAfterMs) failures.count = 0
  return failures
}

/** What one more failure costs. */
function charge(failures: Failures): number {
  const delayMs = Math.min(firstDelayMs * 2 ** Math.min(failures.count, 16), longestDelayMs)
  failures.count += 1
  failures.pending += 1
  failures.lastMs = Date.now()
  return delayMs
}

/** The device's own place, then that of its user at the address. */
function placeKeys({ address, username, clientId }: Attempt): readonly string[] {
  const key = addressKey(address)
  return [digest(key, username, clientId), digest(key, username)]
}

function digest(...parts: readonly (string | undefined)[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64')
}
