import type { DestinationKind } from '../../src/adapter/protocol.ts'

/** Stands for an empty value: the byte 0xFF never occurs in UTF-8. */
const emptyValue = '_FF'

/** Topic names: at most 249 of letters, digits, dot, underscore and hyphen. */
export const topicDestination: DestinationKind = {
  separator: '.',
  /** Other characters become `_XX`, their UTF-8 bytes in upper-case hexadecimal; so does `_` where it could be read so. */
  encode(value) {
    if (value === '') return emptyValue
    return value.replaceAll(/_(?=[0-9A-F]{2})|[^A-Za-z0-9_-]+/g, (text) =>
      Buffer.from(text)
        .toString('hex')
        .replaceAll(/../g, (hex) => `_${hex.toUpperCase()}`),
    )
  },
  check(text) {
    if (!/^[A-Za-z0-9._-]+$/.test(text))
      return 'a topic name may only contain letters, digits, dots, underscores and hyphens'
    if (text.length > 249) return 'a topic name has at most 249 characters'
    if (text === '.' || text === '..') return `${text} is no topic name`
    return undefined
  },
}
