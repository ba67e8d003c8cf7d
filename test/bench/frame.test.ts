/** What the bare frame of the suites is beside a cancel of ours: as long. */
import { WebSocket } from 'ws'
import { expect, test } from 'vitest'
import type { Suite } from '../../bench/harness/model.ts'

const built = new URL('../../.build/bench/cases/websocket.js', import.meta.url).href

test('a bare frame of the suites of WebSockets is as long as a cancel of ours without a cause', async () => {
  const { websocketSuites } = (await import(built)) as { websocketSuites: readonly Suite[] }
  const suite = websocketSuites.find(({ id }) => id === 'websocket/cancel')
  const sent: number[] = []
  const { send } = WebSocket.prototype
  WebSocket.prototype.send = function (this: WebSocket, ...given: unknown[]) {
    const [data] = given
    if (data instanceof Uint8Array) sent.push(data.byteLength)
    return Reflect.apply(send, this, given) as void
  } as typeof send
  try {
    const all = (await suite?.contenders()) ?? []
    const lastOf = async (name: string): Promise<number | undefined> => {
      const its = await all.find((one) => one.name === name)?.start?.()
      expect(await its?.prove()).toContain('seen')
      sent.length = 0
      const values: number[] = []
      await its?.round((value) => values.push(value), true)
      await its?.close?.()
      expect(values).toHaveLength(50)
      return sent.at(-1)
    }
    const ours = await lastOf('ctxbridge/websocket, afterFunc')
    expect(ours).toBeGreaterThan(0)
    expect(await lastOf('bare ws frame of the same size')).toBe(ours)
    // A cause makes it longer.
    expect(await lastOf('ctxbridge/websocket, afterFunc, with a cause')).toBeGreaterThan(ours ?? 0)
  } finally {
    WebSocket.prototype.send = send
  }
})
