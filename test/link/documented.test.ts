/** What a user must be able to look up: each limit and each lease with its default and what comes of it, and each close code. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { linkLease, pageLease } from '../../lib/bridge/link-liveness.ts'
import { closeCode, linkLimits } from '../../lib/bridge/link-types.ts'
import type { ConnectOptions, ServeSettings } from 'ctxbridge/websocket'

/** All of them: the compiler asks for each that is new. */
const optionNames: Record<keyof ConnectOptions | keyof ServeSettings, true> = {
  keys: true,
  name: true,
  limits: true,
  lease: true,
  maxTimeout: true,
  stacks: true,
  context: true,
  reconnect: true,
  serve: true,
  headers: true,
  agent: true,
  authorize: true,
  identity: true,
  allowedOrigins: true,
  helloTimeout: true,
  maxConnections: true,
}

const page = (name: string): string => readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8')
const protocol = page('protocol')
const errors = page('errors')

/** The cells of the rows of all tables of a page. */
function rowsOf(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
}

const limits = rowsOf(protocol.slice(protocol.indexOf('## 6. Limits'), protocol.indexOf('## 7.')))
const grouped = (n: number): string => n.toLocaleString('en')

describe('docs/protocol.md', () => {
  it.each<[string, number]>(Object.entries(linkLimits))(
    'names the limit %s with its default, %d, and what is over it',
    (name, value) => {
      // What comes back in a second stands with what it comes back to, as a part of it.
      if (name === 'abandonedPerSecond') return expect(value).toBe(linkLimits.maxAbandoned / 10)
      const row = limits.find(([cell = '']) => cell.startsWith(`${name}:`))
      expect(row?.[1]).toContain(grouped(value))
      expect(row?.[2]).toMatch(/\d{4}|ERR_LIMIT/)
    },
  )

  it.each([
    ['helloTimeout', '10,000', '4408'],
    ['maxConnections', '10,000', '1013'],
    ['maxTimeout', 'none', 'clamped'],
    ['lease', '30,000', '4408'],
  ])('names the limit %s of a server with its default, %s, and what is over it, %s', (name, value, over) => {
    const row = limits.find(([cell = '']) => cell.startsWith(`${name}:`))
    expect(row?.[1]).toContain(value)
    expect(row?.[2]).toContain(over)
  })

  it('names the leases, and those of pages', () => {
    const { ping, imports, exports, resume, stretch } = linkLease
    expect([ping, imports, exports, resume, stretch]).toEqual([10_000, 25_000, 30_000, 1_000, 5])
    expect(protocol).toContain('has heard nothing for 10 s sends `ping`')
    expect(protocol).toContain('by default it does after 25 s')
    expect(protocol).toContain('up to five times')
    expect(protocol).toMatch(/by default it\s+waits 1 s, and 5 s for a page/)
    expect(pageLease).toEqual({ imports: 5 * imports, exports: 5 * exports, resume: 5 * resume })
    expect(protocol).toContain('after 125 s')
    expect(protocol).toContain(grouped(150_000))
  })
})

describe('docs/websocket.md', () => {
  const options = rowsOf(page('websocket').split('\n## Options\n')[1] ?? '')

  it.each<[string, number]>(Object.entries(linkLimits))('names the limit %s with its default, %d', (name, value) => {
    const row = options.find(([cell]) => cell === `\`${name}\``)
    expect(row?.[1]).toContain(name === 'abandonedPerSecond' ? 'a tenth' : grouped(value))
  })

  it.each<[string, number]>(Object.entries(linkLease))(
    'names the lease %s with its default, %d, and that of a page',
    (name, value) => {
      const row = options.find(([cell]) => cell === `\`${name}\``)
      expect(row?.slice(1, 3)).toEqual([value, { ...linkLease, ...pageLease }[name as keyof typeof linkLease]].map(grouped))
    },
  )

  it.each(Object.keys(optionNames))('names the option %s', (name) => {
    expect(options.filter(([cell]) => cell === `\`${name}\``)).toHaveLength(1)
  })
})

describe.each([
  ['docs/protocol.md', rowsOf(protocol)],
  ['docs/errors.md', rowsOf(errors)],
])('%s', (_name, rows) => {
  it.each<[string, number]>(Object.entries(closeCode))('says when a connection is closed as %s, with %d', (_reason, code) => {
    const row = rows.find(([cell = '']) => cell.split(', ').includes(String(code)))
    expect(row?.[1]).toBeTruthy()
  })
})
