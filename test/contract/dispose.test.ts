/** `using`, where the platform has it and where it has not. */
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { expect, it } from 'vitest'

const program = `
import { background, group, withCancel } from './dist/lib/index.js'
import { linkedPair } from './dist/transports/testing/index.js'
import { wrap as wrapConnection } from './dist/transports/websocket/browser.js'
import { wrap } from './dist/transports/worker/index.js'

export async function run() {
  const outcome = {}
  let ctx, tasks, items
  {
    using inner = withCancel(background())
    using those = group(background())
    ctx = inner
    tasks = those
  }
  outcome.ended = [ctx.err()?.name, tasks.context.err()?.name]
  const pair = await linkedPair({ serve: { async *count() { yield 1; yield 2 } } })
  let remote
  {
    using served = wrapConnection(pair.client)
    const answer = served.count(background())
    await pair.clock.advance(10)
    {
      await using stream = await answer
      items = stream
    }
    outcome.streamIsOver = (await items.next()).done
    outcome.open = pair.client.stats().state
  }
  outcome.connection = pair.client.stats().state
  {
    using connection = pair.server
    connection.stats()
  }
  outcome.server = pair.server.stats().state
  const { port1 } = new MessageChannel()
  {
    using there = wrap(port1)
    remote = there
  }
  outcome.lost = await remote.f().catch((error) => error.code)
  port1.close()
  outcome.strange = [ctx, tasks, items, remote, pair, pair.client].filter((each) => 'undefined' in each).length
  return outcome
}
`

/** The program as a bundler makes it for browsers that know no \`using\`, with the \`Symbol\` given. */
async function run(symbols: unknown): Promise<unknown> {
  const { outputFiles } = await build({
    stdin: { contents: program, resolveDir: fileURLToPath(new URL('../..', import.meta.url)) },
    bundle: true,
    format: 'iife',
    globalName: 'program',
    target: 'es2022',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    external: ['node:*'],
    write: false,
  })
  // oxlint-disable-next-line no-implied-eval -- a program whose Symbol is another one
  const load = new Function('Symbol', `${outputFiles[0]?.text ?? ''}; return program`) as (symbol: unknown) => {
    run(): Promise<unknown>
  }
  return load(symbols).run()
}

const { iterator, asyncIterator, toStringTag, toPrimitive, hasInstance } = Symbol
const without = Object.assign((name?: string) => Symbol(name), {
  for: (name: string) => Symbol.for(name),
  iterator,
  asyncIterator,
  toStringTag,
  toPrimitive,
  hasInstance,
})

it.each([
  ['that has Symbol.dispose', Symbol],
  ['that has no Symbol.dispose, where a bundler puts Symbol.for() in its place', without],
])('using works on a platform %s', async (_name, symbols) => {
  expect(await run(symbols)).toEqual({
    ended: ['AbortError', 'AbortError'],
    streamIsOver: true,
    open: 'open',
    connection: 'closed',
    server: 'closed',
    lost: 'ERR_LINK_LOST',
    strange: 0,
  })
})
