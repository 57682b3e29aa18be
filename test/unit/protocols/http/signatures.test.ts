import { expect, it } from '@jest/globals'
import { Replays } from '../../../../protocols/http/listener/replays.ts'
import { Signature } from '../../../../protocols/http/listener/signatures.ts'

const settings = (layout: 'standard' | 'github', secret: string) => ({ layout, secrets: [secret], tolerance: 300_000 })

it('reads the example of Standard Webhooks', () => {
  // https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
  const headers = {
    'webhook-id': 'msg_loFOjxBNrRLzqYUf',
    'webhook-timestamp': '1731705121',
    'webhook-signature': 'v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=',
  }
  const signature = new Signature(settings('standard', 'whsec_plJ3nmyCDGBKInavdOK15jsl'))
  const body = Buffer.from('{"event_type":"ping","data":{"success":true}}')
  expect(signature.check(headers, body, 1_731_705_121_000)).toBeDefined()
  expect(signature.check(headers, body, 1_731_705_121_000 + 301_000)).toBeUndefined()
  expect(signature.check({ ...headers, 'webhook-timestamp': '1731705122' }, body, 1_731_705_121_000)).toBeUndefined()
})

it('reads the example of GitHub', () => {
  // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
  const headers = { 'x-hub-signature-256': 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17' }
  const signature = new Signature(settings('github', "It's a Secret to Everybody"))
  expect(signature.check(headers, Buffer.from('Hello, World!'), 0)).toBeDefined()
  expect(signature.check(headers, Buffer.from('Hello, World?'), 0)).toBeUndefined()
})

it('a signature is remembered for its window, and forgotten within two', () => {
  const replays = new Replays(1_000)
  expect(replays.isFirst('a', 0)).toBe(true)
  for (const nowMs of [1, 999, 1_000]) expect(replays.isFirst('a', nowMs)).toBe(false)
  expect(replays.isFirst('b', 1_900)).toBe(true)
  expect(replays.isFirst('b', 2_899)).toBe(false)
  expect(replays.isFirst('a', 5_000)).toBe(true)
  replays.forget('a')
  expect(replays.isFirst('a', 5_001)).toBe(true)
})

it('of a great many signatures the older ones are forgotten', () => {
  const replays = new Replays(1_000)
  for (let each = 0; each < 250_000; each += 1) replays.isFirst(String(each), 0)
  expect([replays.isFirst('249999', 0), replays.isFirst('0', 0)]).toEqual([false, true])
})
