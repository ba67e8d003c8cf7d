/** The list of hostile input in `docs/hostile-input.md`: each row has tests, and they are where the list says. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const root = new URL('../../', import.meta.url)
const page = readFileSync(new URL('docs/hostile-input.md', root), 'utf8')

interface Row {
  readonly number: number
  readonly tests: readonly { readonly file: string; readonly name: string }[]
}

const rows: Row[] = [...page.matchAll(/^\| (\d+) \|.*\| ([^|]*) \|$/gm)].map(([, number, cell = '']) => ({
  number: Number(number),
  tests: [...cell.matchAll(/`([\w/-]+): ([^`]+)`/g)].map(([, file = '', name = '']) => ({ file: `test/${file}.test.ts`, name })),
}))

/** The names of a file's tests, and what else stands in quotes there: names are made of it. */
const quoted = new Map<string, string[]>()

function stringsOf(file: string): string[] {
  let strings = quoted.get(file)
  if (strings === undefined) {
    const text = readFileSync(new URL(file, root), 'utf8')
    strings = [...text.matchAll(/'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|\/\/ (.*)/g)].map(([, a, b, c]) => a ?? b ?? c ?? '')
    quoted.set(file, strings)
  }
  return strings
}

test('all 62 rows are there, in order, and each has a test', () => {
  expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 62 }, (_, i) => i + 1))
  expect(rows.filter(({ tests }) => tests.length === 0)).toEqual([])
})

test('each test that the list names is there', () => {
  const named = rows.flatMap(({ tests }) => tests)
  expect(named.length).toBeGreaterThan(100)
  expect(named.filter(({ file, name }) => !stringsOf(file).some((text) => text.startsWith(name)))).toEqual([])
})
