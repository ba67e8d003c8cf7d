/** What runs in the page of insecure.test.ts, and in its workers, whose name says by what they serve. */
import * as Comlink from 'comlink'
import { background, withCancel } from 'ctxbridge'
import { install } from 'ctxbridge/comlink'
import * as port from 'ctxbridge/message-port'
import * as socket from 'ctxbridge/websocket'
import * as worker from 'ctxbridge/worker'
import { type Methods, methods } from './insecure-methods.ts'

install(Comlink)

/** Cancels a call that runs; returns how its context ended over there. */
async function talk(remote: socket.Remote<Methods>): Promise<unknown> {
  const ctx = withCancel(background())
  const held = remote.hold(ctx).catch(() => undefined)
  await remote.begun(background())
  ctx.cancel('of the page')
  await held
  return remote.ended(background())
}

const started = (name: string): Worker => new Worker('/script.js', { name })

const { name } = globalThis as { name?: string }
if (globalThis.document !== undefined) {
  Object.assign(globalThis, {
    insecure: {
      worker: () => talk(worker.wrap<Methods>(started('worker'))),
      comlink: () => talk(Comlink.wrap<Methods>(started('comlink')) as unknown as socket.Remote<Methods>),
      port: async () => talk(port.wrap<Methods>(await port.connect(started('port')))),
      socket: async () => talk(socket.wrap<Methods>(await socket.connect(`ws://${location.host}`))),
    },
  })
} else if (name === 'worker') worker.expose(methods())
else if (name === 'comlink') Comlink.expose(methods())
else void port.connect(globalThis, { serve: methods() })
