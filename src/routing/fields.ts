import { type Envelope, HeaderBag } from '../envelope/envelope.ts'
import { charge } from './meter.ts'
import type { Subject } from './subject.ts'
import { namesOf } from './values.ts'

/** Reads something of a message; undefined where it is not there. */
export type Read = (subject: Subject) => unknown

/** Names a rule may begin with, and their CEL types. */
export const fieldTypes = {
  messageId: 'string',
  timestamp: 'string',
  source: 'string',
  destination: 'string',
  eventType: 'string',
  version: 'string',
  correlationId: 'string',
  key: 'dyn', // text, or bytes where Kafka's key was not UTF-8
  replyTo: 'string',
  headers: 'map<string, dyn>',
  extensions: 'map<string, dyn>',
  params: 'map<string, string>',
  payload: 'dyn',
} as const
export type FieldName = keyof typeof fieldTypes
export const fieldNames = Object.keys(fieldTypes) as readonly FieldName[]

export const isFieldName = (name: string): name is FieldName => Object.hasOwn(fieldTypes, name)

/** Headers with a type of their own; all others are custom. */
const knownHeaders = ['contentType', 'priority', 'ttl', 'retryCount'] as const
export type KnownHeader = (typeof knownHeaders)[number]
export const isKnownHeader = (name: string): name is KnownHeader => (knownHeaders as readonly string[]).includes(name)

/** Names that reach into JavaScript's own objects; no path may hold one. */
export const forbiddenNames: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])

const roots: Readonly<Record<FieldName, Read>> = {
  messageId: (subject) => subject.envelope.messageId,
  timestamp: (subject) => subject.envelope.timestamp,
  source: (subject) => subject.envelope.source,
  destination: (subject) => subject.envelope.destination,
  eventType: (subject) => subject.envelope.eventType,
  version: (subject) => subject.envelope.version,
  correlationId: (subject) => subject.envelope.correlationId,
  key: (subject) => subject.envelope.key,
  replyTo: (subject) => subject.envelope.replyTo,
  headers: (subject) => allHeaders(subject.envelope),
  extensions: (subject) => subject.envelope.extensions,
  params: (subject) => subject.params,
  payload: (subject) => subject.envelope.content,
}

export const readField = (name: FieldName): Read => roots[name]

const known: Readonly<Record<KnownHeader, Read>> = {
  contentType: (subject) => subject.envelope.contentType,
  priority: (subject) => subject.envelope.priority,
  ttl: (subject) => subject.envelope.ttlMs,
  retryCount: (subject) => subject.envelope.retryCount,
}

/** One header, well-known or custom, else the extension of that name; without building the map of all. */
export function readHeader(name: string): Read {
  if (isKnownHeader(name)) return known[name]
  if (name === 'retain') return retainOf
  return ({ envelope }) => {
    const header = memberOf(envelope.headers, name)
    return header === undefined ? memberOf(envelope.extensions, name) : header
  }
}

/** The flag of an MQTT message; without it a header of that name, as AMQP and Kafka may have one. */
const retainOf: Read = ({ envelope }) => envelope.retain || (memberOf(envelope.headers, 'retain') ?? false)

/** A member of a JSON object; undefined for anything inherited, and for what is no object. */
export function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const member = (value as Record<string, unknown>)[name]
  return member !== undefined && Object.hasOwn(value, name) ? member : undefined
}

/** A member by name, or an element by its number. */
export function elementOf(value: unknown, index: unknown): unknown {
  if (typeof index === 'string') return memberOf(value, index)
  if (!Array.isArray(value)) return undefined
  return typeof index === 'bigint' || typeof index === 'number' ? value[Number(index)] : undefined
}

const costOfHeader = 20

function allHeaders(envelope: Envelope): Record<string, unknown> {
  charge(namesOf(envelope.headers).length * costOfHeader) // they are copied
  const headers: Record<string, unknown> = Object.assign(new HeaderBag(), envelope.extensions, envelope.headers)
  const subject: Subject = { envelope, params: {}, receivedAt: 0 }
  for (const name of knownHeaders) {
    const value = known[name](subject)
    if (value !== undefined) headers[name] = value
    else delete headers[name]
  }
  if (envelope.retain) headers.retain = true
  return headers
}
