/** Who gets in: CONNECT, login, and one connection and one user per client id. */
import type { AuthenticateError } from 'aedes'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import type { Device } from './device.ts'
import { FailedLogins } from './logins.ts'
import type { Users } from './users.ts'

/** MQTT 3.1.1, table 3.1. */
const returnCodes = { identifierRejected: 2, badCredentials: 4, notAuthorized: 5 } as const
const leaveWithinMs = 1_000

/** The session of a client id belongs to the user who began it, for as long as it is kept. */
interface Owner {
  readonly username: string | undefined
}

export interface AdmissionOptions {
  readonly users: Users
  /** Most sessions kept for devices that are away. */
  readonly maxAway: number
  onRefused(device: Device, reason: string): void
  /** A device with a kept session comes in. */
  onKept(clientId: string, username: string | undefined): void
  /** Ends the session that was left alone the longest. */
  endSession(clientId: string): void
}

export class Admission {
  readonly #options: AdmissionOptions
  readonly #failures = new FailedLogins()
  readonly #online = new Map<string, Device>()
  readonly #owners = new Map<string, Owner>()
  /** Client ids with a kept session and no connection, the longest away first. */
  readonly #away = new Set<string>()

  constructor(options: AdmissionOptions) {
    this.#options = options
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
    if (this.#failures.isBlocked(device.address)) return this.#refuse(device, 'notAuthorized', 'too many failed logins')
    const rights = this.#options.users.login(login.username, login.password)
    if (rights === undefined) {
      await new Promise<void>((resolve) => this.#failures.delay(device.address, resolve))
      const code = login.username === undefined ? 'notAuthorized' : 'badCredentials'
      return this.#refuse(device, code, 'bad user name or password')
    }
    const owner = this.#owners.get(device.clientId)
    if (owner !== undefined && owner.username !== rights.username) {
      return this.#refuse(device, 'identifierRejected', 'the client id belongs to another user')
    }
    if (device.isClosed) return new Error('it has left') as AuthenticateError
    device.rights = rights
    device.arrived = this.#takeOver(device)
    await device.arrived
    return undefined
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
    const oldest = this.#away.values().next().value
    if (this.#away.size <= this.#options.maxAway || oldest === undefined) return
    this.#away.delete(oldest)
    this.#owners.delete(oldest)
    this.#options.endSession(oldest)
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
