/** A peer in another language, written from the page about the protocol: where Python is at hand, which it is in CI. */
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Connection, wrap } from 'ctxbridge/websocket'
import type { Context } from 'ctxbridge'
import { expect, onTestFinished, test } from 'vitest'
import { idle, local, until } from './support.ts'

const found = spawnSync('python3', ['--version']).status === 0

test(`a peer in Python ${found ? 'calls, cancels, streams, is called, and goes on after a break' : 'needs Python'}`, async () => {
  if (!found) return expect(found).toBe(false)
  const ended: unknown[] = []
  let finish!: (value: unknown) => void
  const connections = (): Connection[] => [...target.service.connections]
  const target = await local(
    {
      echo: (_ctx: Context, ...args: unknown[]) => args,
      hold: async (ctx: Context) => {
        const error = await ctx.done
        ended.push(error.cause)
        throw error
      },
      async *count(_ctx: Context, to: number) {
        for (let n = 1; n <= to; n++) yield n
      },
      callBack: (ctx: Context) => {
        const [caller] = connections()
        if (caller === undefined) throw new Error('nobody')
        return wrap<{ hello(ctx: Context, x: number): string }>(caller).hello(ctx, 7)
      },
      held: () => new Promise((resolve) => (finish = resolve)),
    },
    { lease: {} },
  )
  const child = spawn('python3', [fileURLToPath(new URL('../fixtures/peer.py', import.meta.url)), String(target.port)])
  onTestFinished(() => void child.kill('SIGKILL'))
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const told: Record<string, unknown> = {}
  for await (const line of createInterface({ input: child.stdout })) {
    const [what, value] = JSON.parse(line) as [string, unknown]
    told[what] = value
    if (what !== 'broke') continue
    // Answered while there is no connection.
    await until(() => connections()[0]?.stats().state === 'suspended')
    finish('kept')
    child.stdin.write('go on\n')
  }
  expect(stderr).toBe('')
  expect(told).toEqual({
    hello: [1, 1, 5, ''],
    echo: [4, 1, ['ünï 😀', 1.5, [0, 255], { a: [null, true] }]],
    stream: [
      [12, 2],
      [13, 2, 1],
      [13, 2, 2],
    ],
    more: [
      [13, 2, 3],
      [13, 2, 4],
      [4, 2],
    ],
    deadline: [5, 3, [4, [0, 'slow']]],
    cancelled: [9, 1],
    called: [2, 'hello', [7]],
    answered: [4, 7, 'from python'],
    broke: null,
    again: [1, true, true],
    result: [4, 8, 'kept'],
    pong: [9, 3],
    closed: 4400,
  })
  expect(ended).toEqual(['slow', 'enough', 'enough'])
  await idle(target.service)
})
