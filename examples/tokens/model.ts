/** The service of the example: a process that "generates" text token by token, and stops when nobody wants it any more. */
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { cause, type Context, sleep } from 'ctxbridge'
import { serve } from 'ctxbridge/websocket'
import { WebSocketServer } from 'ws'

const words = 'a context is a value that you can send and a cancel is a message that always arrives'.split(' ')

export interface Ledger {
  readonly generated: number
  /** Why the last text ended; null where it came to its end. */
  readonly stopped: string | null
}
let ended: (ledger: Ledger) => void
const ledger = new Promise<Ledger>((resolve) => (ended = resolve))

export const model = {
  /** Ends after a thousand tokens, if it is let. Each takes 20 ms: what a graphics card would be busy with. */
  async *tokens(ctx: Context, _prompt: string): AsyncGenerator<string> {
    let generated = 0
    try {
      while (generated < 1_000) {
        await sleep(ctx, 20)
        yield ` ${words[generated++ % words.length]}`
      }
    } finally {
      // Runs however the text ends: by its last token, by a cancel, by a reader who has gone.
      ended({ generated, stopped: ctx.err() === undefined ? null : String(cause(ctx)) })
    }
  },
  /** Answers when the first text has ended. */
  ledger: (): Promise<Ledger> => ledger,
}

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: 1_048_576 })
await once(server, 'listening')
serve(server, model)
process.on('disconnect', () => process.exit())
process.send?.((server.address() as AddressInfo).port)
