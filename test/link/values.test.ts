import { expect, test } from 'vitest'
import { background, type Context, withCancel, withValue } from '../../lib/context.ts'
import { createKey, type Key } from '../../lib/key.ts'
import { turn } from '../support/gc.ts'
import { callFrame, hello, joined, rejection, Side } from './support.ts'

const text = {
  encode: (value: string): unknown => value,
  decode: (data: unknown): string => {
    if (typeof data !== 'string') throw new TypeError('no text')
    return data
  },
}
const user = createKey<string>('user', { portable: text })
const trace = createKey<string>('trace', { portable: text })
const local = createKey<string>('local')
const shy = createKey<string>('shy', {
  portable: {
    encode: () => {
      throw new Error('not today')
    },
    decode: text.decode,
  },
})

test('a codec that closes the link starts no handler, and leaves nothing', async () => {
  let side: Side | undefined
  const closing = createKey<string>('closing', {
    portable: {
      encode: text.encode,
      decode: (data) => {
        side?.link.close()
        return text.decode(data)
      },
    },
  })
  for (const frames of [[callFrame(1, 'f', [null, null, [['closing', 'x']]])], [[6, 1, [null, null, [['closing', 'x']]]]]]) {
    let started = 0
    side = new Side({ keys: [closing], serve: { f: () => started++ } })
    side.raw(hello, ...frames)
    await turn()
    expect([started, side.channel.closed]).toMatchObject([0, { code: 1000 }])
    expect(side.link.stats()).toMatchObject({ state: 'closed', handlers: 0, imports: 0 })
  }
})

async function seen(ctx: Context, ask: Key<string>[], registered: readonly Key<unknown>[]) {
  const pair = await joined({
    server: { keys: registered, serve: { values: (c: Context) => ask.map((key) => c.value(key) ?? null) } },
  })
  const result = pair.client.link.call(ctx, 'values', [])
  await pair.settle()
  return { values: await result, client: pair.client.reported, server: pair.server.reported }
}

const all = [user, trace, local, shy] as unknown as Key<unknown>[]

test('values of portable keys that the receiver has registered cross, and no others', async () => {
  const ctx = withValue(withValue(withValue(background(), user, 'ann'), trace, 't1'), local, 'secret')
  expect(await seen(ctx, [user, trace, local], all)).toMatchObject({ values: ['ann', 't1', null] })
  expect(await seen(ctx, [user, trace], [user] as never)).toMatchObject({ values: ['ann', null] })
  expect(await seen(ctx, [user], [])).toMatchObject({ values: [null], server: [] })
})

test('the nearest binding crosses, and undefined hides an outer one', async () => {
  const ctx = withValue(withValue(background(), user, 'outer'), user, 'inner')
  expect(await seen(ctx, [user], all)).toMatchObject({ values: ['inner'] })
  expect(await seen(withValue(ctx, user, undefined as never), [user], all)).toMatchObject({ values: [null] })
})

test('what a codec throws is reported, and the call is made without that value', async () => {
  const ctx = withValue(withValue(background(), shy, 'x'), user, 'ann')
  expect(await seen(ctx, [user, shy], all)).toEqual({ values: ['ann', null], client: [new Error('not today')], server: [] })
})

test('what the receiving codec refuses is reported there, and the call is made without that value', async () => {
  const number = createKey<number>('user', { portable: { encode: (n) => n, decode: Number } })
  const ctx = withValue(background(), number, 7)
  expect(await seen(ctx, [user], all)).toEqual({ values: [null], client: [], server: [new TypeError('no text')] })
})

test('a codec that ends the context keeps the call from being sent', async () => {
  const pair = await joined({ server: { serve: { f: () => 1 } } })
  const ctx = withCancel(pair.client.root)
  const trap = createKey<number>('trap', { portable: { encode: () => ctx.cancel('trap') ?? 1, decode: Number } })
  expect(await rejection(pair.client.link.call(withValue(ctx, trap, 1), 'f', []))).toBe(ctx.err())
  expect(pair.client.link.stats()).toMatchObject({ calls: 0, queued: 0 })
})

test('values count towards the size of the call, by their real size', async () => {
  const pair = await joined({
    server: { serve: { f: (ctx: Context) => ctx.value(user)?.length }, keys: all, limits: { maxMessage: 1_024 } },
  })
  const small = pair.client.link.call(withValue(background(), user, 'x'.repeat(500)), 'f', [])
  const large = rejection(pair.client.link.call(withValue(background(), user, 'x'.repeat(1_500)), 'f', []))
  await pair.settle()
  expect(await small).toBe(500)
  expect(await large).toMatchObject({ code: 'ERR_LIMIT' })
  expect(pair.server.open).toBe(true)
})
