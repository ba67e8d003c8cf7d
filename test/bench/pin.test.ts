/** Where threads run. */
import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { compiled } from '../support/compiled.ts'

/** In a process of its own, which it pins. */
function pinned(env: Readonly<Record<string, string>> = {}): { said: string; before: number[]; after: string } {
  const program = `
    const { coresOf, pinNear } = await import(${JSON.stringify(compiled('bench/harness/pin.ts').href)})
    const { readFileSync } = await import('node:fs')
    const before = coresOf()
    const said = pinNear()
    const list = /^Cpus_allowed_list:\\s*(.+)$/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))?.[1] ?? ''
    console.log(JSON.stringify({ said, before, after: list }))`
  const text = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  return JSON.parse(text) as ReturnType<typeof pinned>
}

test.runIf(process.platform === 'linux')('what says that the near side is on a core has put it there', () => {
  const { said, before, after } = pinned()
  const core = /^near side on core (\d+), far side on core (\d+);/.exec(said)
  if (core === null) return expect(said).toMatch(/^no: /)
  expect([core[1], core[2]]).toEqual(before.slice(0, 2).map(String))
  expect(after).toBe(core[1])
})

test.runIf(process.platform === 'linux')('where there is no taskset, it is said that nothing is pinned', () => {
  const { said, before, after } = pinned({ PATH: '/nowhere' })
  expect(said).toMatch(before.length > 1 ? /^no: there is no taskset here$/ : /^no: there is one core/)
  expect(after).not.toBe('')
})
