/** What the process ends with; sysexits where there is one. */
export const exitCodes = {
  ok: 0,
  /** A check found something, a message was refused. */
  found: 1,
  usage: 64,
  noInput: 66,
  /** A port is in use, a broker cannot be reached. */
  unavailable: 69,
  internal: 70,
  /** The disk did not do what it was told, or the store is damaged. */
  disk: 74,
  /** Another process has the store. */
  inUse: 75,
  /** The configuration is invalid: starting again will not help. */
  config: 78,
  /** Ended by Ctrl-C, as shells say it. */
  interrupted: 130,
} as const
