/** The line that ends a run says the truth, and a run that left something out has failed. */

import { expect, test } from 'vitest'
import { closing } from './support/closing-line.ts'

type Module = Parameters<typeof closing>[0][number]

function ran(states: string[], errors: number = 0): Module {
  const tests = states.map((state, i) => ({ fullName: `test ${i}`, result: () => ({ state }) }))
  return {
    relativeModuleId: 'a.test.ts',
    errors: () => Array.from({ length: errors }, () => ({ message: 'x' })),
    children: { allTests: () => tests },
  }
}

test('counts what passed', () => {
  expect(closing([ran(['passed', 'passed']), ran(['passed'])], 0, false)).toEqual({ lines: ['3 passed, 0 failed'], ok: true })
})

test('counts tests that failed, files that could not be loaded, and errors that nobody caught', () => {
  expect(closing([ran(['passed', 'failed']), ran([], 1)], 1, false)).toEqual({ lines: ['1 passed, 3 failed'], ok: false })
})

test('fails a run in which a test was skipped', () => {
  expect(closing([ran(['passed', 'skipped'])], 0, false)).toEqual({
    lines: ['Not run, and counted as failed: a.test.ts > test 1', '1 passed, 1 failed'],
    ok: false,
  })
})

test('lets a developer run one test by its name', () => {
  expect(closing([ran(['passed', 'skipped'])], 0, true)).toEqual({ lines: ['1 passed, 0 failed'], ok: true })
})

test('fails a run without any test', () => {
  expect(closing([], 0, false)).toEqual({ lines: ['No test was run.', '0 passed, 0 failed'], ok: false })
})
