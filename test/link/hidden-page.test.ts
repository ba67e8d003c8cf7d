/** A page that is hidden: its timers come as late as a minute, and what arrives is read at once. */
import { createFakeClock, linkedPair, type LinkedPair } from 'ctxbridge/testing'
import { wrap } from 'ctxbridge/websocket'
import { expect, it } from 'vitest'
import { pageLease } from '../../lib/bridge/link-liveness.ts'
import { background, cause, type Context, withCancel } from '../../lib/context.ts'
import { Held, rejection } from './support.ts'

interface Methods {
  hold(ctx: Context): Promise<void>
}

async function hidden(held: Held): Promise<LinkedPair> {
  const clock = createFakeClock()
  const page = clock.another({ late: 60_000 })
  return linkedPair({ clock, serve: { hold: held.method }, client: { clock: page, lease: pageLease } })
}

it('keeps its call for an hour, and its cancel arrives at once', async () => {
  const held = new Held()
  await using pair = await hidden(held)
  const ctx = withCancel(background())
  const call = rejection(wrap<Methods>(pair.client).hold(ctx))
  await pair.serverClock.advance(3_600_000)
  expect([held.ctx().err(), pair.client.stats().state, pair.network.connections]).toEqual([undefined, 'open', 1])
  ctx.cancel('stop')
  await pair.serverClock.advance(1)
  expect([cause(held.ctx()), await call]).toEqual(['stop', ctx.err()])
  held.finishAll()
})

it('is waited for as long as it waits itself; when nobody is there any more, its work ends first', async () => {
  const held = new Held()
  await using pair = await hidden(held)
  let lost: unknown
  void rejection(wrap<Methods>(pair.client).hold(background())).then((error) => (lost = error))
  await pair.serverClock.advance(10)
  pair.network.down()
  pair.network.lose()
  await pair.serverClock.advance(4_900)
  // The server saw the connection break, and a page needs longer to come back than others.
  expect(held.ctx().err()).toBeUndefined()
  await pair.serverClock.advance(300)
  expect(cause(held.ctx())).toMatchObject({ code: 'ERR_LINK_LOST' })
  expect(lost).toBeUndefined()
  // Its own lease is 150 s, and the timer that tells of it comes up to a minute late.
  await pair.serverClock.advance(140_000)
  expect(lost).toBeUndefined()
  await pair.serverClock.advance(130_000)
  expect(lost).toMatchObject({ code: 'ERR_LINK_LOST' })
  held.finishAll()
})
