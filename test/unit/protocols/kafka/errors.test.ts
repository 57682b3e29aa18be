import { describe, expect, it } from '@jest/globals'
import { destinationError, toGatewayError } from '../../../../protocols/kafka/errors.ts'

const coded = (code: string) => Object.assign(new Error('no'), { code })

describe('kafka errors', () => {
  it.each([
    'ECONNREFUSED',
    'ECONNRESET',
    'EPIPE',
    'ETIMEDOUT',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ENOTFOUND',
    'EAI_AGAIN',
    'EPROTO',
    'CERT_HAS_EXPIRED',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'ERR_SSL_WRONG_VERSION_NUMBER',
  ])('%s is an outage', (code) => {
    expect(toGatewayError(coded(code), 'sending')).toMatchObject({ code: 'PEER_UNREACHABLE', isOutage: true })
  })

  it.each(['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE', 'ERR_BUFFER_TOO_LARGE', 'Z_DATA_ERROR', 'ENOENT', 'EMFILE'])(
    '%s is none',
    (code) => {
      expect(toGatewayError(coded(code), 'sending')).toMatchObject({ code: 'PEER_FAILED', isOutage: false })
    },
  )

  it.each([
    ['NOT_ENOUGH_REPLICAS', 'DESTINATION_UNAVAILABLE'],
    ['NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'DESTINATION_UNAVAILABLE'],
    ['LEADER_NOT_AVAILABLE', 'DESTINATION_UNAVAILABLE'],
    ['NOT_LEADER_FOR_PARTITION', 'DESTINATION_UNAVAILABLE'],
    ['REQUEST_TIMED_OUT', 'DESTINATION_UNAVAILABLE'],
    ['KAFKA_STORAGE_ERROR', 'DESTINATION_UNAVAILABLE'],
    ['UNKNOWN_TOPIC_OR_PARTITION', 'NOT_FOUND'],
    ['TOPIC_AUTHORIZATION_FAILED', 'ACCESS_DENIED'],
    ['MESSAGE_TOO_LARGE', 'MESSAGE_TOO_LARGE'],
  ])('%s about one partition is %s, and no outage', (type, code) => {
    const error = destinationError(type, 'topic t, partition 3')
    expect(error).toMatchObject({ code, message: expect.stringContaining('topic t, partition 3') })
    expect(error).not.toHaveProperty('isOutage', true)
  })
})
