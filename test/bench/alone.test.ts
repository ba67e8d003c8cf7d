import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { measuredAlone, type Part, type Said } from '../../bench/harness/alone.ts'
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

/** A module that a process and its workers load first, by `NODE_OPTIONS`. */
function loadedFirst(text: string): NodeJS.ProcessEnv {
  const folder = mkdtempSync(join(tmpdir(), 'ctxbridge-bench-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'first.mjs')
  writeFileSync(file, text)
  return { ...process.env, NODE_OPTIONS: `--import ${pathToFileURL(file).href}` }
}

/** What the real process says of a part, and what it writes about that. */
async function saidOf(part: Part, env: NodeJS.ProcessEnv = process.env): Promise<{ said: Said[]; stderr: string }> {
  const child = fork(compiled('bench/part.ts'), {
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    env,
  })
  const said: Said[] = []
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.on('message', (one: Said) => {
    said.push(one)
    if (!('share' in one)) child.disconnect()
  })
  child.send(part)
  await Promise.all([once(child, 'exit'), once(child.stderr as Readable, 'end')])
  return { said, stderr }
}

test('where it fails, it says why before it ends, and its stack is on the terminal', async () => {
  const { said, stderr } = await saidOf({ ...part, id: 'no/such' })
  expect(said).toEqual([{ failed: 'Nothing is called no/such.' }])
  expect(stderr).toMatch(/^Error: Nothing is called no\/such\.\n {4}at .*part\.js/)
  // Of an error that nobody waits for.
  const env = loadedFirst(
    "process.on('newListener', (of) => { if (of === 'uncaughtException') setTimeout(() => { throw new Error('a socket is gone') }) })",
  )
  const suite = await saidOf(part, env)
  expect(suite.said).toContainEqual({ failed: 'a socket is gone' })
})

test('that sentence is what whoever asked is told', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ctxbridge-bench-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const program = join(folder, 'fails.mjs')
  writeFileSync(program, "process.once('message', () => process.send({ failed: 'The clocks are 5 ns apart.' }))")
  await expect(measuredAlone(pathToFileURL(program), part, nobody)).rejects.toThrow(/^The clocks are 5 ns apart\.$/)
})

test.for([
  ['this thread and a worker', "import { isMainThread } from 'node:worker_threads'\nconst far = !isMainThread"],
  ['this process and another', "const far = process.argv[1].endsWith('service.js')"],
])('a comparison of the clocks of %s fails where they are apart', async ([between, far]) => {
  const env = loadedFirst(
    `${far}\nconst { bigint } = process.hrtime\nif (far) process.hrtime.bigint = () => bigint() + 1_000_000_000n`,
  )
  const { said } = await saidOf({ ...part, id: undefined }, env)
  expect(said.map((one) => 'failed' in one && one.failed.replace(/\d+/g, 'N'))).toEqual([
    `The clocks of ${between} are N ns apart, give or take N ns, where both read that of the machine.`,
  ])
})
