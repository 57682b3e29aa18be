import type { IncomingMessage, ServerResponse } from 'node:http'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from '@jest/globals'
import { Bodies } from '../../../../protocols/http/listener/body.ts'
import { pathOf } from '../../../../protocols/http/listener/path.ts'
import { Routes } from '../../../../protocols/http/listener/routes.ts'
import { compilePattern } from '../../../../src/routing/pattern.ts'

const request = (headers: object = { 'transfer-encoding': 'chunked' }) =>
  Object.assign(new PassThrough(), { headers }) as unknown as IncomingMessage & PassThrough
const response = {} as ServerResponse

describe('bodies', () => {
  it('together keep to their bound, and give it back', async () => {
    const bodies = new Bodies({ maxBytes: 10, maxTogetherBytes: 15, deadlineMs: 60_000 })
    const [first, second] = [request(), request()]
    const [one, two] = [bodies.read(first, response), bodies.read(second, response)]
    first.write('12345678')
    second.write('12345678')
    await expect(two).rejects.toMatchObject({ status: 503 })
    first.end('9')
    expect((await one).toString()).toBe('123456789')
    const third = request()
    const three = bodies.read(third, response)
    third.end('1234567890')
    expect((await three).byteLength).toBe(10)
  })
})

describe('a path', () => {
  it.each([
    ['/a/b', ['', 'a', 'b'], undefined],
    ['/', ['', ''], undefined],
    ['/a//b/', ['', 'a', '', 'b', ''], undefined],
    ['/%C3%BC/a+b%252F?x=%2F?y', ['', 'ü', 'a+b%2F'], 'x=%2F?y'],
    ['http://host:1/a?', ['', 'a'], ''],
  ])('%s is taken apart, each level decoded once', (target, levels, query) => {
    expect(pathOf(target)).toEqual({ levels, address: levels.join('/'), query })
  })

  it.each([
    '*',
    '',
    'a',
    '/../a',
    '/a/..',
    '/%2e%2E/a',
    '/./a',
    '/a%2Fb',
    '/a%5',
    '/%c0%af',
    '/a%0d%0a',
    '/ü',
    '/a#b',
    'host:443',
  ])('%s is refused', (target) => expect(() => pathOf(target)).toThrow())
})

describe('routes', () => {
  it.each(['/a', '/a/{b}', '/a/*/c', '/a/**', '/{all#}', '/', '/**', '/a/{b}/{rest#}'])(
    '%s finds what the router finds',
    (path) => {
      const routes = new Routes([{ path, method: 'POST' }])
      const pattern = compilePattern({ text: path, separator: '/', one: '*', rest: '**' })
      for (const asked of ['/', '/a', '/a/', '/a/b', '/a/b/c', '/a/b/c/d', '/b', '//', '/a//c', '/$a']) {
        const isFound = routes.find('POST', { levels: asked.split('/'), query: undefined }).froms.size > 0
        expect([asked, isFound]).toEqual([asked, pattern.match(asked) !== undefined])
      }
    },
  )
})
