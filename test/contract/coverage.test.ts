import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const root = new URL('../../', import.meta.url)

/** The numbers of the contract, in the order in which they stand there. */
const lines = [...readFileSync(new URL('docs/contract.md', root), 'utf8').matchAll(/^- C(\d+) (.*)$/gm)].map(
  ([, number, text]) => ({
    number: Number(number),
    text,
  }),
)

/** What tests call themselves: `it('C23: ...')`, `it('C58, C18: ...')`, `it.each(...)('C4: ...')`. */
const named = readdirSync(new URL('test/', root), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts'))
  .flatMap((path) => {
    const source = readFileSync(new URL(`test/${path}`, root), 'utf8')
    return [...source.matchAll(/\(\s*(['"`])(C\d+(?:, C\d+)*): ./g)].flatMap(([, , numbers = '']) =>
      numbers.split(', ').map((number) => ({ path, number: Number(number.slice(1)) })),
    )
  })

describe('the contract', () => {
  it('numbers its lines from C1 to C66, each once and in order', () => {
    expect(lines.map(({ number }) => number)).toEqual(Array.from({ length: 66 }, (_, i) => i + 1))
    expect(lines.filter(({ text = '' }) => text.length < 10)).toEqual([])
  })

  it('has a test for every line, whose name begins with the number of the line', () => {
    const tested = new Set(named.map(({ number }) => number))
    expect(lines.filter(({ number }) => !tested.has(number))).toEqual([])
  })

  it('has every number that a test names', () => {
    const known = new Set(lines.map(({ number }) => number))
    expect(named.filter(({ number }) => !known.has(number))).toEqual([])
    // The search finds what it is for: some hundred names, in a file for each section.
    expect(named.length).toBeGreaterThan(200)
    expect(new Set(named.map(({ path }) => path)).size).toBeGreaterThan(12)
  })
})
