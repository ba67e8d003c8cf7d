/** The demo in all ways that a search can end, and what it prints about each hop. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Demo, type Run, runDemo, running } from './run-demo.ts'

// Only a bound for a test that fails.
vi.setConfig({ testTimeout: 60_000 })

let folder: string
/** A search that lasts until something ends it. */
let long: string[]

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ctxbridge-demo-'))
  mkdirSync(join(folder, 'inner', 'most'), { recursive: true })
  writeFileSync(join(folder, 'one.txt'), 'needle and needle\nhay\nneedle')
  writeFileSync(join(folder, 'inner', 'two.txt'), 'hay\r\nneedle\r\n')
  writeFileSync(join(folder, 'inner', 'most', 'three.txt'), 'hay\n'.repeat(100_000))
  writeFileSync(join(folder, 'inner', 'empty.txt'), '')
  long = ['--dir', folder, '--pattern', 'needle', '--repeat', '1000000', '--workers', '2']
})

afterAll(() => rmSync(folder, { recursive: true }))

const hops = ['client', 'gateway', 'service', 'worker 1', 'worker 2']

/** What stands in the table beside a hop: when it saw the end, what it was, why. */
function endAt(hop: string, { stdout }: Run): { after: string; what: string; why: string } {
  const { groups } =
    new RegExp(`^  ${hop} +(?<after>–|[-\\d,]+ µs) {3}(?<what>\\S.*?)(?: {2,}(?<why>.*))?$`, 'm').exec(stdout) ?? {}
  return { after: groups?.['after'] ?? '', what: groups?.['what'] ?? '', why: groups?.['why'] ?? '' }
}

function pathAt(hop: string, { stdout }: Run): string {
  const [, paths = ''] = stdout.split('the path of its context')
  return new RegExp(`^  ${hop} +(.*)$`, 'm').exec(paths)?.[1] ?? ''
}

function expectAllIdle(run: Run): void {
  expect(run.stdout).toMatch(/^No worker is busy: worker 1 \(thread \d+\), worker 2 \(thread \d+\) answered\.$/m)
}

function expectWellFormed({ stdout, stderr }: Run): void {
  for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(100)
  // Neither a stack trace nor a colour, which is for terminals.
  expect(`${stdout}${stderr}`).not.toMatch(/^ +at |\p{Cc}\[/mu)
}

/** Each hop saw the end, with the same kind and cause, and never before it was. */
function expectEverywhere(run: Run, what: string, why: string): void {
  for (const hop of hops) {
    expect(endAt(hop, run), hop).toEqual({ after: expect.stringMatching(/^[\d,]+ µs$/) as string, what, why })
  }
}

function expectPaths(run: Run, own: RegExp): void {
  expect(pathAt('client', run)).toMatch(new RegExp(`^context\\.Background\\.WithCancel\\.${own.source}`))
  expect(pathAt('gateway', run)).toMatch(new RegExp(`^Link\\("client"\\)\\.${own.source}`))
  expect(pathAt('service', run)).toMatch(new RegExp(`^Link\\("gateway"\\)\\.${own.source}`))
  for (const worker of ['worker 1', 'worker 2']) expect(pathAt(worker, run)).toContain('Import')
}

async function finished(demo: Demo): Promise<Run> {
  const run = await demo.ended
  expectWellFormed(run)
  expect(demo.pids).toHaveLength(3)
  expect(running(demo.pids)).toEqual([])
  return run
}

/** Whether all hops were at it, so that each can tell of the end. */
const hadBegun = (run: Run): boolean => hops.every((hop) => endAt(hop, run).what !== 'never started')

/** A search that the option ends after so many ms, or after twice as many where it had not begun everywhere by then. */
async function endedBy(option: string, args: readonly string[], ms = 2_000): Promise<{ run: Run; ms: number }> {
  const run = await finished(new Demo(...args, option, String(ms)))
  return hadBegun(run) ? { run, ms } : endedBy(option, args, 2 * ms)
}

test('a search that nothing ends tells what it found, and exits with 0', async () => {
  const run = await finished(new Demo('--dir', folder, '--pattern', 'needle', '--workers', '2'))
  expect(run.stdout).toMatch(/^Finished after [\d,]+ ms: 4 of 4 files searched, 4 matches\.$/m)
  expectPaths(run, /WithCancel/)
  expectAllIdle(run)
  expect(run.code).toBe(0)
})

test('a deadline ends the search at every hop, and nowhere early', async () => {
  const { run, ms } = await endedBy('--deadline', long)
  expect(run.stdout).toMatch(
    /^Ended early \(deadline exceeded\) after [\d,]+ ms: [\d,]+ of 4,000,000 files searched, [\d,]+ matches\.$/m,
  )
  expectEverywhere(run, 'deadline exceeded', `Error: the search was given ${ms} ms`)
  expectPaths(run, /WithDeadline\(.*\[.*\]\)/)
  expectAllIdle(run)
  expect(run.code).toBe(124)
})

test('a cancel ends the search at every hop', async () => {
  const { run, ms } = await endedBy('--cancel-after', long)
  expect(run.stdout).toMatch(/^Ended early \(canceled\) after /m)
  expectEverywhere(run, 'canceled', `Error: stopped by --cancel-after ${ms}`)
  expectPaths(run, /WithCancel/)
  expectAllIdle(run)
  expect(run.code).toBe(3)
})

test.for([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s ends the search at every hop', async ([signal, code]) => {
  let run: Run
  do {
    const demo = new Demo(...long)
    await demo.searching()
    demo.process.kill(signal)
    run = await finished(demo)
    // One of the workers may have been at it alone.
  } while (!hadBegun(run))
  expectEverywhere(run, 'canceled', `SignalError: received ${signal}`)
  expectAllIdle(run)
  expect(run.code).toBe(code)
})

test('the loss of the gateway ends the search on both sides of it', async () => {
  const { run } = await endedBy('--kill-gateway', long)
  const lost = expect.stringMatching(/^LinkLostError: ./) as string
  const after = expect.stringMatching(/^[\d,]+ µs$/) as string
  expect(endAt('client', run)).toEqual({ after, what: 'failed', why: lost })
  expect(endAt('gateway', run)).toEqual({ after: '–', what: 'gone', why: 'its process was killed' })
  for (const hop of ['service', 'worker 1', 'worker 2'])
    expect(endAt(hop, run), hop).toEqual({ after, what: 'canceled', why: lost })
  expectAllIdle(run)
  expect(run.code).toBe(1)
})

test('the loss of the service is a failure, said in a sentence', async () => {
  const demo = new Demo(...long)
  await demo.searching()
  const [, , service] = demo.pids
  process.kill(service as number, 'SIGKILL')
  const run = await finished(demo)
  expect(run.stderr).toMatch(/^Nobody can tell how the search ended: LinkLostError: .*\.$/m)
  expect(run.code).toBe(1)
})

test('Ctrl-C before the search began ends everything, too', async () => {
  const demo = new Demo(...long)
  // At some time of the start, as soon as there is somebody to hear it.
  const again = setInterval(() => demo.process.kill('SIGINT'), 300)
  const { code, signal } = await demo.ended
  clearInterval(again)
  expect([code, signal]).toSatisfy(([code, signal]) => code === 130 || signal === 'SIGINT')
})

test('a deadline that has passed at once lets the search go nowhere', async () => {
  const run = await finished(new Demo(...long, '--deadline', '0'))
  expect(endAt('client', run).what).toBe('deadline exceeded')
  for (const hop of hops.slice(1)) expect(endAt(hop, run).what, hop).toBe('never started')
  expectAllIdle(run)
  expect(run.code).toBe(124)
})

test('without any option, one search is cancelled and the next one runs into its deadline, on the same threads', async () => {
  const run = await finished(new Demo())
  expect(run.stdout.match(/^(Ended early \(.*?\)|Finished)/gm)).toHaveLength(2)
  const [first, second, ...more] = run.stdout.match(/^No worker is busy: .*$/gm) ?? []
  expect(second).toBe(first)
  expect(more).toEqual([])
  expect(run.code).toBe(0)
})

describe('a worker that nothing can interrupt', () => {
  let endless: string[]
  beforeAll(() => {
    const dir = join(folder, 'endless')
    mkdirSync(dir)
    // One match of this takes the age of the universe.
    writeFileSync(join(dir, 'a.txt'), `${'a'.repeat(100)}b`)
    endless = ['--dir', dir, '--pattern', '(a+)+$', '--workers', '1', '--repeat', '2']
  })

  test('is said to be busy, and ends with the service', async () => {
    const { run } = await endedBy('--cancel-after', endless, 500)
    expect(endAt('service', run).what).toBe('canceled')
    expect(endAt('worker 1', run).what).toBe('busy')
    expect(run.stdout).toMatch(/^Still busy: worker 1\./m)
    expect(run.code).toBe(1)
  })

  test('does not keep a second Ctrl-C from ending everything at once', async () => {
    const demo = new Demo(...endless)
    await vi.waitFor(() => expect(demo.stdout).toContain('Ctrl-C cancels.'), 30_000)
    // Signals that come close together are one. So again, until one of them was the second.
    const again = setInterval(() => demo.process.kill('SIGINT'), 50)
    const { signal } = await demo.ended
    clearInterval(again)
    expect(signal).toBe('SIGINT')
    expect(demo.pids).toHaveLength(3)
    await vi.waitFor(() => expect(running(demo.pids)).toEqual([]), 30_000)
  })
})

test('a client that is killed leaves no process behind', async () => {
  const demo = new Demo(...long)
  await demo.searching()
  expect(running(demo.pids)).toHaveLength(3)
  demo.process.kill('SIGKILL')
  await demo.ended
  await vi.waitFor(() => expect(running(demo.pids)).toEqual([]), 30_000)
})

test('--help tells all options and exit codes', async () => {
  const run = await runDemo('--help')
  for (const option of ['dir', 'pattern', 'repeat', 'workers', 'port', 'deadline', 'cancel-after', 'kill-gateway', 'help']) {
    expect(run.stdout).toMatch(new RegExp(`^  --${option} `, 'm'))
  }
  expect(run.stdout).toMatch(/^Exit codes:$/m)
  expectWellFormed(run)
  expect(run.stderr).toBe('')
  expect(run.code).toBe(0)
})
