/** A server under attack, and somebody honest on it. */
import { background, type Context, withCancel } from 'ctxbridge'
import { connect, type ServeSettings, wrap } from 'ctxbridge/websocket'
import { expect } from 'vitest'
import { turn } from '../support/gc.ts'
import { holding, idle, local, rejection, until } from './support.ts'

/** A server with an honest client, whose one call goes on for as long as the test, and who makes others all the time. */
export async function attacked(settings: ServeSettings = {}, more: object = {}) {
  const held = holding()
  const target = await local(
    {
      hold: held.hold,
      echo: (_ctx: Context, x: unknown) => x,
      ...more,
      left: (ctx: Context) => (ctx.remaining() === Infinity ? null : ctx.remaining()),
    },
    { ...settings, limits: { maxMessage: 65_536, ...settings.limits } },
    { maxPayload: 65_536 },
  )
  const honest = await connect(target.url, { name: 'honest' })
  const methods = wrap<{ hold(ctx: Context): Promise<void>; echo(ctx: Context, x: unknown): unknown }>(honest)
  const ctx = withCancel(background())
  const running = rejection(methods.hold(ctx))
  await held.started()
  let over = false
  const served = (async () => {
    for (let n = 0; ; n++) {
      expect(await methods.echo(background(), n)).toBe(n)
      if (over) return n + 1
      await turn()
    }
  })()
  // It is looked at in the end.
  served.catch(() => undefined)
  return {
    ...target,
    held,
    /** The honest client was served all the time, its old call too, and the hostile one is gone. */
    async unharmed(): Promise<void> {
      over = true
      expect(await served).toBeGreaterThan(0)
      await until(() => target.service.stats().connections === 1)
      expect(target.service.stats()).toEqual({ connections: 1, calls: 0, handlers: 1, waiting: 0, contexts: 0 })
      expect(held.contexts[0]?.err()).toBeUndefined()
      ctx.cancel('end of test')
      await running
      honest.close()
      await idle(target.service)
      expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    },
  }
}
