import { type AmqpProperties, readProperties } from './reader.ts'

/** What amqplib's types leave out: how a connection reads its frames. */
export interface FrameReader {
  /** What was read from the socket and is not a frame yet. */
  rest: Buffer
  readonly maxFrameSize: number
  /** The next frame, decoded; false: there is none yet. Calls itself after it has read more. */
  recvFrame(): unknown
}

/** A content header as the driver passes it to a channel. */
interface HeaderFrame {
  readonly id: number
  readonly channel: number
  readonly size: number
  readonly fields: AmqpProperties
}

const headerKind = 2
const headBytes = 7
const frameEnd = 0xce

/** Lets a connection read the properties of messages as they are on the wire, instead of the driver's way: see `reader.ts`. */
export function readOwnProperties(connection: FrameReader): void {
  const driverFrame = connection.recvFrame.bind(connection)
  connection.recvFrame = () => ownHeader(connection) ?? driverFrame()
}

/** undefined: it is another frame, not whole yet, or not well formed, which the driver tells. */
function ownHeader(connection: FrameReader): HeaderFrame | undefined {
  const { rest, maxFrameSize } = connection
  if (rest.length < headBytes || rest[0] !== headerKind) return undefined
  const bytes = rest.readUInt32BE(3)
  const end = headBytes + bytes
  if (bytes < 14 || bytes > maxFrameSize || rest[end] !== frameEnd) return undefined
  connection.rest = rest.subarray(end + 1)
  return {
    id: rest.readUInt16BE(headBytes),
    channel: rest.readUInt16BE(1),
    size: Number(rest.readBigUInt64BE(headBytes + 4)),
    fields: readProperties(rest.subarray(headBytes + 12, end)),
  }
}
