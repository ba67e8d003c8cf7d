/** Which commit a run says it measured. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { commitOf, commitText } from '../../bench/harness/commit.ts'
import { reportOf } from '../../bench/harness/report.ts'
import { isRun } from '../../bench/run-file.ts'
import { runOf, suiteOf } from './runs.ts'

const folder = mkdtempSync(join(tmpdir(), 'ctxbridge-commit-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const at = (path: string): URL => pathToFileURL(`${path}/`)

function repository(name: string): { readonly path: string; git(...args: string[]): string } {
  const path = join(folder, name)
  mkdirSync(path)
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args], { cwd: path, encoding: 'utf8' }).trim()
  git('init', '--quiet')
  return { path, git }
}

test('the commit that is checked out, and whether files of it were changed', () => {
  const { path, git } = repository('whole')
  expect(commitOf(at(path))).toBeUndefined()
  writeFileSync(join(path, 'file'), 'one')
  git('add', 'file')
  git('commit', '--quiet', '-m', 'first')
  const id = git('rev-parse', 'HEAD')
  expect(commitOf(at(path))).toEqual({ id, clean: true })
  writeFileSync(join(path, 'results.json'), 'of no commit')
  expect(commitOf(at(path))).toEqual({ id, clean: true })
  writeFileSync(join(path, 'file'), 'two')
  expect(commitOf(at(path))).toEqual({ id, clean: false })
  git('add', 'file')
  expect(commitOf(at(path))).toEqual({ id, clean: false })
})

test('a folder within a repository is not that repository, and one outside of any has no commit', () => {
  const { path, git } = repository('outer')
  git('commit', '--quiet', '--allow-empty', '-m', 'first')
  mkdirSync(join(path, 'unpacked'))
  expect(commitOf(at(path))).toMatchObject({ clean: true })
  expect(commitOf(at(join(path, 'unpacked')))).toBeUndefined()
  expect(commitOf(at(folder))).toBeUndefined()
})

test('without git there is none', () => {
  const { PATH } = process.env
  process.env['PATH'] = folder
  try {
    expect(commitOf(new URL('../../', import.meta.url))).toBeUndefined()
  } finally {
    process.env['PATH'] = PATH
  }
})

const id = '0123456789abcdef0123456789abcdef01234567'

test('the page says it, and of a run without one it says nothing', () => {
  expect(commitText({ id, clean: true })).toBe('0123456789ab')
  const changed = '0123456789ab, with changes that are not committed'
  expect(reportOf({ ...runOf([]), commit: { id, clean: false } })).toContain(`<dt>Commit</dt><dd>${changed}</dd>`)
  expect(reportOf(runOf([]))).not.toContain('Commit')
})

test('a run is one with and without a commit, what was lost, and clocks of a suite, but not with half of any', () => {
  const clock = { between: 'a and b', offset: 1, error: 2 }
  const compared = (...clocks: unknown[]) => ({ suites: [{ ...suiteOf('a', []), clocks }] })
  for (const more of [{}, { commit: { id, clean: true } }, { lost: [{ id: 'a', reason: 'b' }] }, compared(clock)])
    expect(isRun({ ...runOf([]), ...more })).toBe(true)
  const halves = [{ commit: id }, { commit: { id } }, { commit: null }, { lost: 'a' }, { lost: [{ id: 'a' }] }]
  for (const more of [...halves, compared({ ...clock, error: undefined })]) expect(isRun({ ...runOf([]), ...more })).toBe(false)
})
