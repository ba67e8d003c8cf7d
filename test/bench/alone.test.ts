import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { measuredAlone, type Part } from '../../bench/harness/alone.ts'
import { compiled } from '../support/compiled.ts'

const part: Part = { id: 'core/value', peers: false, rounds: 1, pin: false, seed: 1 }
const nobody = (): void => {}

test('a suite is measured in a process of its own, which says how far it is, and is asked for once', async () => {
  const said: string[] = []
  const { pinned, outcome } = await measuredAlone(compiled('bench/part.ts'), part, (share, what) =>
    said.push(`${share >= 0} ${what}`),
  )
  expect(pinned).toBe('no')
  expect('suite' in outcome && outcome.suite.results.map(({ name, count }) => [name, count > 0])).toContainEqual([
    'withValue(p, key, value)',
    true,
  ])
  expect(said).toContain('true withValue(p, key, value)')
})

test('of a curve so many values are taken of each point as there are to be rounds', async () => {
  const said: string[] = []
  const curve: Part = { ...part, id: 'scale/exports-memory' }
  const { outcome } = await measuredAlone(compiled('bench/part.ts'), curve, (_, what) => said.push(what))
  const points =
    'curve' in outcome
      ? outcome.curve.lines.flatMap((line) => line.points.map(([n]) => `${line.name}, ${n.toLocaleString('en')}`))
      : []
  expect(points.length).toBeGreaterThan(2)
  expect(said.toSorted()).toEqual(points.toSorted())
}, 60_000)

test('where that process says nothing for too long, it is ended, and it is said what was the last that it did', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ctxbridge-bench-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const program = join(folder, 'hangs.mjs')
  writeFileSync(program, "process.once('message', () => process.send({ share: 0.5, what: 'a contender'}, () => { for (;;); }))")
  await expect(measuredAlone(pathToFileURL(program), part, nobody, { longest: 1_000 })).rejects.toThrow(
    'The process that measured core/value said nothing for 1 s after "a contender".',
  )
})

test('where that process ends without a result, it is said what was to be measured, and how it ended', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ctxbridge-bench-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const program = join(folder, 'exits.mjs')
  writeFileSync(program, "process.once('message', () => process.exit(3))")
  await expect(measuredAlone(pathToFileURL(program), part, nobody)).rejects.toThrow(
    'The process that measured core/value ended with code 3, without a result.',
  )
})
