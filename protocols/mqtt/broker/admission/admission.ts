/** Who gets in: CONNECT, login, and one connection and one user per client id. */
import type { AuthenticateError } from 'aedes'
import { withDeadline } from '../../../../src/adapter/deadline.ts'
import type { Device } from '../device.ts'
import { FailedLogins } from './logins.ts'
import type { Account, Rights, Users } from './users.ts'

/** MQTT 3.1.1, table 3.1. */
const returnCodes = { identifierRejected: 2, serverUnavailable: 3, badCredentials: 4, notAuthorized: 5 } as const
const leaveWithinMs = 1_000

/** The session of a client id belongs to the user who began it, for as long as it is kept. */
interface Owner {
  readonly username: string | undefined
}

export interface AdmissionOptions {
  readonly users: Users
  /** Most sessions kept for devices that are away. */
  readonly maxAway: number
  /** True for a name in the configuration. */
  isUser(username: string): boolean
  /** What is wrong with a will that may have to be published with these rights, or nothing. */
  willProblem(device: Device, rights: Rights): string | undefined
  /** True while there is room for one more will. */
  hasRoomForWill(): boolean
  onRefused(device: Device, reason: string): void
  onTakeOver(device: Device, earlier: Device): void
  /** A device with a kept session comes in. */
  onKept(clientId: string, username: string | undefined): void
  /** Ends the session that was left alone the longest. */
  endSession(clientId: string): void
}

export class Admission {
  readonly #options: AdmissionOptions
  readonly #failures: FailedLogins
  readonly #online = new Map<string, Device>()
  readonly #owners = new Map<string, Owner>()
  /** Client ids with a kept session and no connection, the longest away first. */
  readonly #away = new Set<string>()

  constructor(options: AdmissionOptions) {
    this.#options = options
    this.#failures = new FailedLogins(options.isUser)
  }

  deviceOf(clientId: string): Device | undefined {
    return this.#online.get(clientId)
  }

  /** A session that was kept from an earlier broker; the longest kept first. */
  restore(clientId: string, username: string | undefined): void {
    this.#owners.set(clientId, { username })
    this.#addAway(clientId)
  }

  /** Resolves with undefined when the device may come in, else with the CONNACK's return code, after the delay of a guess. */
  async admit(device: Device, login: Login): Promise<AuthenticateError | undefined> {
    if (device.connectProblem !== undefined) return this.#refuse(device, 'identifierRejected', device.connectProblem)
    const account = device.certifiedAs === undefined ? await this.#login(device, login) : this.#certified(device)
    if (account instanceof Error) return account
    const problem = account.clientIdProblem(device.clientId) ?? this.#ownerProblem(device.clientId, account)
    if (problem !== undefined) return this.#refuse(device, 'identifierRejected', problem)
    const rights = account.rightsAs(device.clientId)
    const willProblem = this.#options.willProblem(device, rights)
    if (willProblem !== undefined) return this.#refuse(device, 'notAuthorized', `its will: ${willProblem}`)
    if (device.willTopic !== undefined && !this.#options.hasRoomForWill()) {
      return this.#refuse(device, 'serverUnavailable', 'there is no room for its will')
    }
    if (device.isClosed) return new Error('it has left') as AuthenticateError
    device.rights = rights
    device.arrived = this.#takeOver(device)
    await device.arrived
    return undefined
  }

  async #login(device: Device, { username, password }: Login): Promise<Account | AuthenticateError> {
    const { address, clientId } = device
    const attempt = { address, clientId, username }
    if (this.#failures.isBlocked(attempt)) return this.#refuse(device, 'notAuthorized', 'too many failed logins')
    const account = this.#options.users.login(username, password)
    if (account === undefined) {
      await this.#failures.fail(attempt)
      const code = username === undefined ? 'notAuthorized' : 'badCredentials'
      return this.#refuse(device, code, 'bad user name or password')
    }
    if (account.username !== undefined) this.#failures.succeed(attempt)
    return account
  }

  #certified(device: Device): Account | AuthenticateError {
    const account = this.#options.users.certified(device.certifiedAs ?? '')
    return account ?? this.#refuse(device, 'notAuthorized', 'its certificate names no user')
  }

  #ownerProblem(clientId: string, { username }: Account): string | undefined {
    const owner = this.#owners.get(clientId)
    return owner === undefined || owner.username === username ? undefined : 'the client id belongs to another user'
  }

  /** To be called once for each device admitted, when its connection is over. */
  leave(device: Device, isKept: boolean): void {
    device.leave()
    if (this.#online.get(device.clientId) !== device) return
    this.#online.delete(device.clientId)
    if (!isKept) {
      this.#owners.delete(device.clientId)
      return
    }
    this.#addAway(device.clientId)
  }

  #addAway(clientId: string): void {
    this.#away.add(clientId)
    if (this.#away.size <= this.#options.maxAway) return
    const oldest = this.#oldestOfLargest()
    if (oldest === undefined) return
    this.#away.delete(oldest)
    this.#owners.delete(oldest)
    this.#options.endSession(oldest)
  }

  /** Of the user who has most sessions: nobody's sessions end because another leaves many behind. */
  #oldestOfLargest(): string | undefined {
    const counts = new Map<string | undefined, number>()
    for (const id of this.#away) counts.set(this.#userOf(id), (counts.get(this.#userOf(id)) ?? 0) + 1)
    const largest = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))[0]
    for (const id of this.#away) if (this.#userOf(id) === largest) return id
    return undefined
  }

  #userOf(clientId: string): string | undefined {
    return this.#owners.get(clientId)?.username
  }

  // [MQTT-3.1.4-2]; aedes miscounts when the new connection is registered before the old one has left
  async #takeOver(device: Device): Promise<void> {
    // a new device owns the id at once, so that of several at a time each waits for the one before it
    const earlier = this.#online.get(device.clientId)
    this.#online.set(device.clientId, device)
    this.#owners.set(device.clientId, { username: device.rights.username })
    this.#away.delete(device.clientId)
    if (device.isKept) this.#options.onKept(device.clientId, device.rights.username)
    if (earlier === undefined) return
    this.#options.onTakeOver(device, earlier)
    await earlier.arrived // it may be taking over from another itself
    earlier.close()
    await withDeadline(earlier.gone, leaveWithinMs, 'the leaving of the earlier connection').catch(() => {})
  }

  #refuse(device: Device, code: keyof typeof returnCodes, reason: string): AuthenticateError {
    this.#options.onRefused(device, reason)
    return Object.assign(new Error(reason), { returnCode: returnCodes[code] as AuthenticateError['returnCode'] })
  }
}

export interface Login {
  readonly username: string | undefined
  readonly password: Uint8Array | undefined
}
