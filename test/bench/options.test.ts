/** The command line of the bench. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { commitOf } from '../../bench/harness/commit.ts'
import type { Run } from '../../bench/harness/model.ts'
import { pageOf, parseOptions, usage, UsageError } from '../../bench/options.ts'
import { isRun } from '../../bench/run-file.ts'
import { compiled } from '../support/compiled.ts'

const folder = mkdtempSync(join(tmpdir(), 'ctxbridge-bench-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function bench(...args: string[]): Ended {
  return benchWith({}, ...args)
}

interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function benchWith(env: Readonly<Record<string, string>>, ...args: string[]): Ended {
  const flags = ['--expose-gc', '--no-flush-bytecode', fileURLToPath(compiled('bench/main.ts'))]
  return spawnSync(process.execPath, [...flags, ...args], { encoding: 'utf8', timeout: 150_000, env: { ...process.env, ...env } })
}

test('options are read', () => {
  expect(parseOptions([])).toEqual({ peers: false, pin: true, list: false, help: false })
  expect(parseOptions(['--only', '^core/', '--json', 'a.json', '--rounds', '3', '--no-pin', '--peers'])).toEqual({
    only: { text: '^core/', pattern: /^core\// },
    json: 'a.json',
    rounds: 3,
    peers: true,
    pin: false,
    list: false,
    help: false,
  })
})

test.for([
  [['--fast'], "Unknown option '--fast'."],
  [['worker'], "Unexpected argument 'worker'."],
  [['--only', '('], "--only needs a regular expression, but '(' is none."],
  [['--rounds', '0'], '--rounds needs a whole number from 1 to 1000'],
  [['--rounds', '1.5'], '--rounds needs a whole number from 1 to 1000'],
  [['--json='], '--json needs the name of a file.'],
  [['--json'], '--json'],
] as const)('%j is refused in a sentence', ([args, sentence]) => {
  expect(() => parseOptions(args)).toThrow(UsageError)
  expect(() => parseOptions(args)).toThrow(sentence)
})

test('the page of a whole run is written in any case, that of a part where it is asked for', () => {
  expect(pageOf(parseOptions([]))).toMatch(/[/\\]bench[/\\]report\.html$/)
  expect(pageOf(parseOptions(['--report', 'a.html']))).toBe('a.html')
  expect(pageOf(parseOptions(['--only', 'core']))).toBeUndefined()
  expect(pageOf(parseOptions(['--only', 'core', '--report', 'a.html']))).toBe('a.html')
})

test('every option is explained', () => {
  for (const option of ['only', 'peers', 'rounds', 'json', 'compare', 'report', 'no-pin', 'list', 'help']) {
    expect(usage).toContain(`--${option} `)
  }
})

test('an unknown option ends it with code 2, a sentence and the usage', () => {
  const { status, stdout, stderr } = bench('--fast')
  expect([status, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(/^Unknown option '--fast'\.\n\nnpm run bench/)
})

test('a pattern that matches nothing, and a file that is no run, likewise', () => {
  const none = bench('--only', '/no such suite/')
  expect(none.status).toBe(2)
  expect(none.stderr).toContain("Nothing that can be measured matches '/no such suite/'. See --list.")
  const file = join(folder, 'other.json')
  writeFileSync(file, '{"format":2}')
  const { status, stderr } = bench('--compare', file)
  expect(status).toBe(2)
  expect(stderr).toContain('needs results that --json wrote')
  expect(bench('--compare', join(folder, 'missing.json')).stderr).toContain('cannot read')
})

test('--help and --list measure nothing', () => {
  expect(bench('--help')).toMatchObject({ status: 0, stdout: usage })
  const { status, stdout } = bench('--list')
  expect(status).toBe(0)
  for (const id of ['worker/busy', 'websocket/cancel', 'core/cancel', 'scale/cancel']) expect(stdout).toContain(id)
})

test('a small run is measured, proven, written, and compared with itself', () => {
  const [json, page] = [join(folder, 'run.json'), join(folder, 'run.html')]
  const first = bench('--only', '^(worker/busy|core/value)$', '--rounds', '5', '--json', json, '--report', page)
  expect(first.stderr).toBe('')
  expect(first.status).toBe(0)
  const run: unknown = JSON.parse(readFileSync(json, 'utf8'))
  expect(isRun(run)).toBe(true)
  const commit = commitOf(new URL('../../', import.meta.url))
  expect((run as Run).commit).toEqual(commit)
  expect(first.stdout.includes('\ncommit ')).toBe(commit !== undefined)
  const [suite] = (run as Run).suites
  expect(suite?.results.map(({ name, proof, rounds }) => [name, proof, rounds.length])).toEqual([
    ['ctx.err()', 'seen as AbortError, cause: proof', 5],
    ['ctx.err(), with a deadline', 'seen as AbortError, cause: proof', 5],
    ['ctx.err(), with a cause', 'seen as AbortError, cause: proof', 5],
    ['ctx.signal.aborted', 'seen as AbortError, cause: proof', 5],
    ['bare Atomics flag', 'seen; it carries no error', 5],
    ['bare Atomics flag, in the same job', 'seen; it carries no error', 5],
  ])
  expect(suite?.absent.map(({ name }) => name)).toContain('transferableAbortSignal')
  expect((run as Run).clocks.map(({ offset, error }) => Math.abs(offset) <= error + 1)).toEqual([true, true])
  expect(readFileSync(page, 'utf8')).toContain('ctx.err()')
  expect(first.stdout).toMatch(/as a page, with charts: \S*run\.html\n/)
  const second = bench('--only', '^core/value$', '--rounds', '5', '--compare', json)
  expect(second.stdout).toMatch(/core\/value {2}withValue\(p, key, value\) .*p=.*(same|unclear|slower|faster)/)
}, 320_000)

test('a cancel in a page reaches the worker of the service behind it, with its cause, on clocks that were compared', () => {
  const json = join(folder, 'browser.json')
  const { status, stderr, stdout } = bench('--only', '^browser/', '--rounds', '1', '--json', json)
  expect([status, stderr]).toEqual([0, ''])
  const [suite] = (JSON.parse(readFileSync(json, 'utf8')) as Run).suites
  expect(suite?.absent).toEqual([])
  const proofs = suite?.results.map(({ proof, count }) => [proof.replace(/\d+([.,]\d+)*/g, 'N'), count])
  const [ours, bare] = ['seen as AbortError, cause: proof', 'seen; it carries no error'].map((seen) => [
    `Chromium N: ${seen}`,
    100,
  ])
  expect(proofs).toEqual([ours, bare, ours, bare])
  const [clock, ...others] = suite?.clocks ?? []
  expect([clock?.between, clock?.samples, others]).toEqual(['the page and the service', 1_000, []])
  const { offset = 0, error = 0 } = clock ?? {}
  // They begin at different times: the offset has figures beyond those of a measurement.
  expect(String(offset).replace(/\D|0+$/g, '').length).toBeGreaterThan(5)
  expect(error).toBeGreaterThan(0)
  expect(error).toBeLessThan(10_000_000)
  expect(stdout).toMatch(
    /\[browser\/cancel\]\n[^\n]*\nThe clocks of the page and the service were compared, to ±[\d.]+ us\. One offset/,
  )
}, 180_000)

test('where contenders fail, the run says so at its end, in its results, and by its exit code', () => {
  const json = join(folder, 'failed.json')
  const { status, stdout } = benchWith({ CHROMIUM: '/bin/false' }, '--only', '^browser/', '--rounds', '1', '--json', json)
  expect(status).toBe(1)
  expect(stdout).toMatch(/\nFAILED\n {2}browser\/cancel, ctx\.err\(\) in a busy worker: It could not be set up: /)
  const [suite] = (JSON.parse(readFileSync(json, 'utf8')) as Run).suites
  expect([suite?.results, suite?.absent.map(({ failed }) => failed)]).toEqual([[], [true, true, true, true]])
}, 180_000)

test('where a part fails, the run says why at its end, in its results and on its page, and measures the others', () => {
  const [json, page, first] = [join(folder, 'apart.json'), join(folder, 'apart.html'), join(folder, 'apart.mjs')]
  writeFileSync(
    first,
    "import { isMainThread } from 'node:worker_threads'\nif (!isMainThread) process.hrtime.bigint = () => 1_000n",
  )
  const env = { NODE_OPTIONS: `--import ${pathToFileURL(first).href}` }
  const { status, stdout } = benchWith(env, '--only', '^core/value$', '--rounds', '1', '--json', json, '--report', page)
  expect(status).toBe(1)
  const { lost, suites } = JSON.parse(readFileSync(json, 'utf8')) as Run
  expect(lost?.map(({ id, reason }) => [id, reason.replace(/\d+/g, 'N')])).toEqual([
    ['clocks', 'The clocks of this thread and a worker do not keep step: no offset explains all of N readings.'],
  ])
  expect(suites.map(({ id }) => id)).toEqual(['core/value'])
  for (const text of [stdout, readFileSync(page, 'utf8')]) expect(text).toContain(`clocks: ${lost?.[0]?.reason}`)
}, 60_000)

test('bytes are counted in every contender, side by side and ahead of all else; the results keep their order', () => {
  const json = join(folder, 'bytes.json')
  const only = '^((worker|websocket)/bytes|core/value|worker/exports-bytes)$'
  const { status, stderr, stdout } = bench('--only', only, '--rounds', '1', '--json', json)
  expect([status, stderr]).toEqual([0, ''])
  const { suites, machine } = JSON.parse(readFileSync(json, 'utf8')) as Run
  expect(suites.map(({ id, unit, absent }) => [id, unit, absent])).toEqual([
    ['worker/bytes', 'bytes', []],
    ['websocket/bytes', 'bytes', []],
    ['core/value', 'ns', []],
    ['worker/exports-bytes', 'bytes', []],
  ])
  const told = [...stdout.matchAll(/\[(\S+\/\S+)\]\n/g)].map(([, id]) => id)
  expect(new Set(told)).toEqual(new Set(suites.map(({ id }) => id)))
  expect(told).toHaveLength(suites.length)
  expect(told.at(-1)).toBe('core/value')
  // As what is timed is pinned, and these are not.
  expect(machine.pinned).toMatch(/^(near side on core|no: )/)
  for (const { results, unit } of suites)
    for (const { p50, name } of results) if (unit === 'bytes') expect(p50, name).toBeGreaterThan(10)
}, 180_000)

test('what could not be written, or is no whole run, is refused before anything is measured', () => {
  const none = join(folder, 'none', 'run.json')
  for (const option of ['--json', '--report']) {
    const { status, stdout, stderr } = bench('--only', '^core/value$', option, none)
    expect([status, stdout]).toEqual([2, ''])
    expect(stderr).toContain(`${option} cannot write ${none}: there is no such folder.`)
  }
  expect(bench('--json', folder).stderr).toContain(`--json cannot write ${folder}: it is a folder.`)
  const file = join(folder, 'file')
  writeFileSync(file, '')
  for (const unwritable of [join(file, 'run.json'), join(folder, 'x'.repeat(300))]) {
    const { status, stderr } = bench('--only', '^core/value$', '--json', unwritable)
    expect([status, stderr.split('\n')[0]]).toEqual([2, expect.stringContaining(`--json cannot write ${unwritable}: `)])
  }
  expect(bench('--json', file, '--report', join(folder, '.', 'file'))).toMatchObject({ status: 2, stdout: '' })
  expect(() => parseOptions(['--json', 'a', '--report', './a'])).toThrow('--json and --report need two files, but got a twice.')
  const part = join(folder, 'part.json')
  writeFileSync(part, '{"format":1,"suites":[{}],"bars":[]}')
  expect(bench('--compare', part)).toMatchObject({ status: 2, stdout: '' })
  writeFileSync(part, '{"format":7}')
  expect(bench('--compare', part).stderr).toContain('holds results of format 7, and not 1.')
})

test('a disk that is full takes the file, and not what was measured; it is said at the end', () => {
  const { status, stdout, stderr } = bench('--only', '^core/value$', '--rounds', '1', '--json', '/dev/full')
  expect([status, stderr]).toEqual([1, ''])
  expect(stdout).toMatch(/\[core\/value\][^]*pinned: [^]*\nFAILED\n {2}--json could not write \/dev\/full: ENOSPC[^\n]*\n$/)
})

test('one that is interrupted writes what it has measured until then, and says that it is not whole', async () => {
  const json = join(folder, 'interrupted.json')
  const flags = ['--expose-gc', fileURLToPath(compiled('bench/main.ts'))]
  const child = spawn(process.execPath, [...flags, '--only', '^core/(cancel|value|signal)$', '--rounds', '40', '--json', json], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let told = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    // That of the first suite; the next one has begun, or is about to.
    if (!told.includes('[core/cancel]') && (told + text).includes('[core/cancel]')) child.kill('SIGINT')
    told += text
  })
  const [code] = (await once(child, 'close')) as [number]
  expect(code).toBe(130)
  const run = JSON.parse(readFileSync(json, 'utf8')) as Run
  expect(run.suites[0]?.id).toBe('core/cancel')
  // The second may have ended in time, and the last one never has.
  const lost = run.lost?.map(({ id, reason }) => `${id}: ${reason}`)
  expect(lost?.flatMap((one) => one.match(/core\/\w+/g))).toEqual(['core/value', 'core/signal'].slice(run.suites.length - 1))
  expect(lost?.at(-1)).toMatch(/^core\/signal: (It was interrupted|Not begun, since the run was interrupted)\.$/)
  expect(told).toContain(`\nFAILED\n  ${String(lost?.[0])}`)
}, 60_000)

test('a page of what is no run is refused in a sentence', () => {
  const report = (...args: string[]) =>
    spawnSync(process.execPath, [fileURLToPath(compiled('bench/report-main.ts')), ...args], { encoding: 'utf8' })
  const none = report()
  expect(none.status).toBe(2)
  expect(none.stderr).toMatch(/^It needs the results, and the page to write\.\n/)
  const { status, stderr } = report(join(folder, 'missing.json'), join(folder, 'page.html'))
  expect(status).toBe(2)
  expect(stderr).toMatch(/^bench:report cannot read .*missing\.json: ENOENT/)
})
