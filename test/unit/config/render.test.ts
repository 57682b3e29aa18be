import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import type { Diagnostic } from '../../../src/config/report/diagnostic.ts'
import { renderDiagnostics } from '../../../src/config/report/render.ts'

const unknownKey: Diagnostic = {
  severity: 'error',
  code: 'TRV2001',
  message: 'unknown key `tpoic`',
  file: 'trivium.yaml',
  line: 1,
  column: 3,
  length: 5,
  suggestion: 'topic',
  allowed: ['topic', 'key'],
}

describe('renderDiagnostics', () => {
  test('is empty when nothing is wrong', () => {
    expect(renderDiagnostics([], 'a: 1')).toBe('')
  })

  test('has no colour unless asked, and with colour the same text', () => {
    const plain = renderDiagnostics([unknownKey], '  tpoic: x')
    const colored = renderDiagnostics([unknownKey], '  tpoic: x', { color: true })

    expect(stripVTControlCharacters(plain)).toBe(plain)
    expect(colored).not.toBe(plain)
    expect(stripVTControlCharacters(colored)).toBe(plain)
  })

  test('cuts a long line to what is around the caret', () => {
    const line = `${'x'.repeat(500)}tpoic${'y'.repeat(500)}`
    const rendered = renderDiagnostics([{ ...unknownKey, column: 501 }], line).split('\n')
    const excerpt = rendered.find((text) => text.startsWith('1 │')) ?? ''
    const caret = rendered.find((text) => text.includes('^')) ?? ''

    expect(excerpt.length).toBeLessThan(130)
    expect(excerpt.slice(caret.indexOf('^'), caret.lastIndexOf('^') + 1)).toBe('tpoic')
  })

  test('keeps the caret under the text behind tabs, and lets no control character through', () => {
    const rendered = renderDiagnostics([{ ...unknownKey, column: 3 }], '\t\u001btpoic\u0007').split('\n')
    const excerpt = rendered.find((text) => text.startsWith('1 │')) ?? ''
    const caret = rendered.find((text) => text.includes('^')) ?? ''

    expect(excerpt).not.toContain('\u001b')
    expect(excerpt.slice(caret.indexOf('^'), caret.lastIndexOf('^') + 1)).toBe('tpoic')
  })

  test('hides what is masked', () => {
    const masked = [{ column: 3, length: 5 }]
    expect(renderDiagnostics([{ ...unknownKey, masked }], '  tpoic: x')).toContain('1 │   *****: x')
  })

  test('counts errors and warnings', () => {
    const warning = { ...unknownKey, severity: 'warning' } as const
    expect(renderDiagnostics([unknownKey, unknownKey, warning], 'a')).toMatch(/\n2 errors, 1 warning\n$/)
  })
})
