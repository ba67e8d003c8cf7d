import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { mutants } from './list.ts'

const all = Object.values(mutants).flat()
const project = new URL('../../', import.meta.url)

test.each(all)('the text of "$breaks" is in its file once, and its tests are there', ({ file, original, replacement, tests }) => {
  expect(readFileSync(new URL(file, project), 'utf8').split(original).length - 1).toBe(1)
  expect(replacement).not.toBe(original)
  expect(tests.filter((path) => !existsSync(new URL(path, project)))).toEqual([])
})

test('each breaks something of its own', () => {
  expect(new Set(all.map(({ breaks }) => breaks)).size).toBe(all.length)
})
