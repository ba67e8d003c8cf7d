/** What runs in the page of kept.test.ts and in its worker, which has a connection of its own, or calls the page, which has one. */
import { background, type Context, withCancel } from 'ctxbridge'
import { connect, wrap as over } from 'ctxbridge/websocket'
import { expose, wrap } from 'ctxbridge/worker'

export interface Server {
  hold(ctx: Context): Promise<void>
  add(ctx: Context, a: number, b: number): Promise<number>
}

const connected = () => connect(`ws://${location.host}`)

/** The worker's. */
function served() {
  const working = withCancel(background())
  let held: Promise<unknown> | undefined
  let closed: Promise<unknown> | undefined
  const begin = (server: Server): void => void (held = server.hold(working).then(String, String))
  return {
    async byItself(_ctx: Context): Promise<void> {
      const connection = await connected()
      closed = connection.closed
      begin(over<Server>(connection))
    },
    byPage: (_ctx: Context): void => begin(wrap<Server>()),
    async lost(_ctx: Context): Promise<string> {
      return String(await closed)
    },
    async anew(ctx: Context): Promise<number> {
      using connection = await connected()
      return await over<Server>(connection).add(ctx, 1, 2)
    },
    /** Cancels what it has begun; returns how that ended. */
    stop(_ctx: Context): Promise<unknown> | undefined {
      working.cancel('of the worker')
      return held
    },
  }
}

if (globalThis.document === undefined) expose(served())
else {
  const worker = new Worker('/script.js')
  const remote = wrap<ReturnType<typeof served>>(worker)
  const page = {
    kept: false,
    byItself: () => remote.byItself(background()),
    async byPage() {
      const server = over<Server>(await connected())
      expose({ hold: (ctx: Context) => server.hold(ctx) }, worker)
      await remote.byPage(background())
    },
    lost: () => remote.lost(background()),
    anew: () => remote.anew(background()),
    stop: () => remote.stop(background()),
  }
  addEventListener('pageshow', ({ persisted }) => (page.kept = persisted))
  Object.assign(globalThis, { page })
}
