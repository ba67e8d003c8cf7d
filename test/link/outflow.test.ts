/** What waits in a channel, and for how long. */
import { expect, it } from 'vitest'
import type { Channel } from '../../lib/bridge/link.ts'
import { Outflow } from '../../lib/bridge/link-outflow.ts'

function channel(queued: number): Channel {
  return {
    send: () => undefined,
    queued: () => queued,
    drained: () => undefined,
    close: () => undefined,
    terminate: () => undefined,
  }
}

it('with another channel the time begins anew for which bytes wait, also where more wait in it than were sent by it: a greeting goes beside', () => {
  const out = new Outflow(channel(100))
  out.put(new Uint8Array(98), 98)
  expect(out.unreadSince(0)).toBe(0)
  out.connect(channel(130))
  out.put(new Uint8Array(98), 98)
  expect(out.unreadSince(1_000)).toBe(1_000)
  expect(out.unreadSince(2_000)).toBe(1_000)
})
