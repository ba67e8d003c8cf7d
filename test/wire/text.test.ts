import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { cutText, isText, utf8Length } from '../../lib/wire/text.ts'
import { utf8 } from './support.ts'

/** Strings with code points of each length, and with surrogates that have lost their partners. */
const anyText = fc.string({
  unit: fc.oneof(
    fc.string({ unit: 'binary', maxLength: 3 }),
    fc.constantFrom('\ud83d', '\ude00', '\udbff', '\udc00', 'é', '€', '😀'),
  ),
})

/** By the encoder: it replaces what is not well formed, and only that. */
const wellFormed = (text: string) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(utf8(text)) === text

test('utf8Length is the length that the encoder gives, or -1 for a lone surrogate', () => {
  fc.assert(
    fc.property(anyText, (text) => utf8Length(text) === (wellFormed(text) ? utf8(text).length : -1)),
    { numRuns: 3_000 },
  )
  for (const text of ['\ud800', 'a\ud800', '\udc00a', '\ud83d\ud83d\ude00', '\ude00\ud83d']) expect(utf8Length(text)).toBe(-1)
})

test('cutText fits, is well formed, and loses no more than it must', () => {
  fc.assert(
    fc.property(anyText, fc.nat({ max: 40 }), (text, max) => {
      const cut = cutText(text, max)
      expect(utf8Length(cut)).toBeGreaterThanOrEqual(0)
      expect(utf8Length(cut)).toBeLessThanOrEqual(max)
      const clean = text.replace(/\p{Surrogate}/gu, '\ufffd')
      if (utf8Length(clean) <= max) return cut === clean
      if (max < 3) return cut === ''
      expect(cut.endsWith('…')).toBe(true)
      expect(clean.startsWith(cut.slice(0, -1))).toBe(true)
      expect(max - utf8Length(cut)).toBeLessThan(4)
      return cutText(cut, max) === cut
    }),
    { numRuns: 3_000 },
  )
})

test('isText counts units and refuses what is not well formed', () => {
  expect(isText('', 0, 3)).toBe(true)
  expect(isText('', 1, 3)).toBe(false)
  expect(isText('abc', 1, 3)).toBe(true)
  expect(isText('abcd', 1, 3)).toBe(false)
  expect(isText('😀', 1, 2)).toBe(true)
  expect(isText('\ud83d', 1, 2)).toBe(false)
  expect(isText(5, 0, 10)).toBe(false)
  expect(isText(new String('a'), 0, 10)).toBe(false)
})
