/** How a payload stands in a JSON body: as JSON where it is JSON, byte for byte, else as text or base64. */
import { isUtf8 } from 'node:buffer'
import type { Envelope } from './envelope.ts'
import { markLength } from './json.ts'
import { bytesOf } from './typed.ts'

const jsonType = /^[^;]*[/+]json\s*(;|$)/i

/** True when a content type says JSON, or nothing. */
export function mayBeJson(contentType: string | undefined): boolean {
  return contentType === undefined || jsonType.test(contentType)
}

/** The payload as it may be spliced into JSON text; undefined where it is no JSON or not UTF-8. */
export function jsonBytes({ payload, json }: Envelope): Buffer | undefined {
  return json !== undefined && payload !== null && isUtf8(payload) ? bytesOf(payload) : undefined
}

/** The payload as text; undefined where it is not UTF-8. */
export function utf8Text(payload: Uint8Array): string | undefined {
  return isUtf8(payload) ? bytesOf(payload).toString('utf8') : undefined
}

/** White space around a JSON payload, and a byte order mark, percent-encoded as `before|after`: the body's parser would not keep it. */
export function spaceAround(json: Buffer): string | undefined {
  let start: number = markLength(json)
  let end = json.length
  while (json[start]! <= 0x20) start += 1
  while (json[end - 1]! <= 0x20) end -= 1
  if (start === 0 && end === json.length) return undefined
  return `${encodeURIComponent(json.toString('utf8', 0, start))}|${encodeURIComponent(json.toString('utf8', end))}`
}

const spaces = /^((?:%EF%BB%BF)?(?:%0A|%0D|%09|%20)*)\|((?:%0A|%0D|%09|%20)*)$/

/** `json` with the white space that `spaceAround` found. */
export function withSpace(json: Buffer, space: unknown): Buffer {
  const [, before, after] = (typeof space === 'string' && spaces.exec(space)) || []
  if (before === undefined || after === undefined) return json
  return Buffer.concat([Buffer.from(decodeURIComponent(before)), json, Buffer.from(decodeURIComponent(after))])
}

/** A JSON object with one more member at its end, whose value is JSON already; a byte order mark before it cannot stand there. */
export function withMember(object: object, name: string, value: Buffer): Buffer {
  const text = JSON.stringify(object).slice(0, -1)
  const head = Buffer.from(`${text}${text === '{' ? '' : ','}"${name}":`)
  return Buffer.concat([head, value.subarray(markLength(value)), closing])
}

const closing = Buffer.from('}')
